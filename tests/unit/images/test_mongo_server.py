"""A real pymongo against the mongo image's server, on loopback."""

import asyncio
import threading
from urllib.request import urlopen

import pymongo
import pytest
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure


class RunningServer:
    """The image's server in a thread, on ports the kernel chose."""

    def __init__(self, mongo, folder):
        self._mongo = mongo
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(5)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)
        assert not self._thread.is_alive()

    def _run(self):
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self):
        options = self._mongo.server.Options([f"--dbpath={self._folder}", "--rest"])
        server = self._mongo.server.Server(options, ["--rest"])
        self._stop = asyncio.Event()
        drivers = await asyncio.start_server(server._serve_driver, "127.0.0.1", 0)
        pages = await asyncio.start_server(server._serve_page, "127.0.0.1", 0)
        self.port = drivers.sockets[0].getsockname()[1]
        self.page_port = pages.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        drivers.close()
        pages.close()
        for writer in list(server._connections):
            writer.close()
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
        server._storage.close()


@pytest.fixture
def server(mongo, tmp_path):
    with RunningServer(mongo, tmp_path) as running:
        yield running


@pytest.fixture
def client(server):
    with pymongo.MongoClient("127.0.0.1", server.port, serverSelectionTimeoutMS=3000) as client:
        yield client


def test_insert_and_find(client):
    people = client.demo.people
    made = people.insert_one({"name": "Ana", "n": 1})
    people.insert_many([{"name": "Jon", "n": 2}, {"name": "Miren", "n": 3}])
    assert people.find_one({"name": "Ana"})["_id"] == made.inserted_id
    assert [p["name"] for p in people.find({"n": {"$gt": 1}}).sort("n", -1)] == ["Miren", "Jon"]
    assert [p["name"] for p in people.find().skip(1).limit(1)] == ["Jon"]
    assert people.find_one({}, {"_id": 0, "n": 1}) == {"n": 1}


def test_many_documents_come_in_batches(client):
    client.demo.many.insert_many([{"n": n} for n in range(350)])
    assert [d["n"] for d in client.demo.many.find(batch_size=100)] == list(range(350))
    assert len(list(client.demo.many.find().limit(120))) == 120


def test_update_upsert_delete(client):
    people = client.demo.people
    done = people.update_one({"name": "Ana"}, {"$set": {"n": 1}}, upsert=True)
    assert done.upserted_id is not None
    assert people.update_many({}, {"$inc": {"n": 5}}).modified_count == 1
    assert people.replace_one({"name": "Ana"}, {"name": "Ane"}).matched_count == 1
    assert (
        people.find_one_and_update(
            {"name": "Ane"}, {"$set": {"x": 1}}, return_document=pymongo.ReturnDocument.AFTER
        )["x"]
        == 1
    )
    assert people.delete_many({}).deleted_count == 1
    assert people.find_one() is None


def test_counting(client):
    client.demo.c.insert_many([{"k": n % 2} for n in range(5)])
    assert client.demo.c.count_documents({"k": 0}) == 3
    assert client.demo.c.estimated_document_count() == 5
    assert sorted(client.demo.c.distinct("k")) == [0, 1]
    groups = client.demo.c.aggregate([{"$group": {"_id": "$k", "n": {"$sum": 1}}}])
    assert {g["_id"]: g["n"] for g in groups} == {0: 3, 1: 2}


def test_names_and_dropping(client):
    client.demo.a.insert_one({})
    client.other.b.insert_one({})
    assert client.list_database_names() == ["demo", "other"]
    assert client.demo.list_collection_names() == ["a"]
    client.demo.drop_collection("a")
    client.drop_database("other")
    assert client.list_database_names() == []


def test_errors_reach_the_driver(client):
    client.demo.e.insert_one({"_id": 1})
    with pytest.raises(DuplicateKeyError):
        client.demo.e.insert_one({"_id": 1.0})
    with pytest.raises(BulkWriteError) as failed:
        client.demo.e.insert_many([{"_id": 2}, {"_id": 1}, {"_id": 3}])
    assert failed.value.details["nInserted"] == 1
    with pytest.raises(OperationFailure, match="no such command"):
        client.demo.command("mapReduce")
    with pytest.raises(OperationFailure, match=r"\$where"):
        client.demo.e.find_one({"$where": "1"})


def test_data_survives_a_restart(mongo, tmp_path):
    for expected in (1, 2):
        with (
            RunningServer(mongo, tmp_path) as running,
            pymongo.MongoClient("127.0.0.1", running.port) as client,
        ):
            client.demo.r.insert_one({})
            assert client.demo.r.count_documents({}) == expected


def test_the_status_page_names_the_host(server, client, mongo):
    client.demo.people.insert_one({"name": "Ana"})
    with urlopen(f"http://127.0.0.1:{server.page_port}/") as answer:
        page = answer.read().decode()
    assert page.startswith("<html><head>\n<title>mongod ")
    assert "<td>demo</td><td>people</td>" in page


def test_a_broken_message_closes_only_its_connection(server, client):
    async def send_garbage():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 64)
        await writer.drain()
        assert await reader.read() == b""
        writer.close()

    asyncio.run(send_garbage())
    assert client.admin.command("ping")["ok"] == 1.0
