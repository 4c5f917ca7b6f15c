import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from netlab.api.kinds import NODE, POD, SERVICE_ACCOUNT
from netlab.apiserver.auth.authn import ANONYMOUS, Authenticator, service_account_user
from netlab.apiserver.auth.pki import _key_pem
from netlab.apiserver.auth.tokens import ServiceAccountTokens
from netlab.apiserver.requests import Item, UserInfo, WriteOptions
from netlab.clock import FakeClock
from netlab.errors import ApiError

ISSUER = "https://kubernetes.default.svc.cluster.local"


def named(name, uid, namespace="", **spec):
    return {"metadata": {"name": name, "namespace": namespace, "uid": uid}, "spec": spec}


class World:
    """Stored objects, a clock, and the tokens on top of them."""

    def __init__(self):
        self.clock = FakeClock()
        self.objects = {
            (SERVICE_ACCOUNT, "shop", "web"): named("web", "u-sa", "shop"),
            (POD, "shop", "p"): named(
                "p", "u-pod", "shop", serviceAccountName="web", nodeName="node0"
            ),
            (NODE, "", "node0"): named("node0", "u-node"),
        }
        key = _key_pem(ec.generate_private_key(ec.SECP256R1()))
        self.tokens = ServiceAccountTokens(key, ISSUER, get=self.get, clock=self.clock)

    async def get(self, kind, namespace, name):
        try:
            return self.objects[(kind, namespace, name)]
        except KeyError:
            raise ApiError(404, "NotFound", f'{kind.plural} "{name}" not found') from None

    async def request(self, **spec):
        account = Item(b"", self.objects[(SERVICE_ACCOUNT, "shop", "web")])
        return await self.tokens.create(account, {"spec": spec}, WriteOptions())


@pytest.fixture
def world():
    return World()


def bound(uid="u-pod", name="p"):
    return {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}


async def test_a_token_has_the_claims_of_kubernetes(world):
    answer = await world.request(boundObjectRef=bound(), expirationSeconds=3607)
    assert answer["kind"] == "TokenRequest"
    assert answer["status"]["expirationTimestamp"] == "2026-01-01T01:00:07Z"
    claims = jwt.decode(answer["status"]["token"], options={"verify_signature": False})
    issued = claims["iat"]
    assert claims.pop("jti")
    assert claims == {
        "aud": [ISSUER],
        "exp": issued + 365 * 24 * 3600,
        "iat": issued,
        "iss": ISSUER,
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "node0", "uid": "u-node"},
            "pod": {"name": "p", "uid": "u-pod"},
            "serviceaccount": {"name": "web", "uid": "u-sa"},
            "warnafter": issued + 3607,
        },
        "nbf": issued,
        "sub": "system:serviceaccount:shop:web",
    }


REFUSED = {
    "too short": (
        {"expirationSeconds": 10},
        422,
        "may not specify a duration less than 10 minutes",
    ),
    "no such pod": ({"boundObjectRef": bound(name="q")}, 404, 'pods "q" not found'),
    "another uid": (
        {"boundObjectRef": bound("u-old")},
        409,
        "the UID in the bound object reference (u-old) does not match the UID in record",
    ),
    "not a pod": (
        {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "s"}},
        400,
        "cannot bind token to object of type v1, Kind=Secret",
    ),
}


@pytest.mark.parametrize(("spec", "code", "message"), REFUSED.values(), ids=REFUSED)
async def test_a_token_request_is_refused(world, spec, code, message):
    with pytest.raises(ApiError) as raised:
        await world.request(**spec)
    assert raised.value.code == code
    assert message in raised.value.message


async def test_a_pod_of_another_account_is_refused(world):
    world.objects[(POD, "shop", "p")]["spec"]["serviceAccountName"] = "other"
    with pytest.raises(ApiError, match="different serviceaccount name"):
        await world.request(boundObjectRef=bound())


async def test_a_good_token_names_its_user(world):
    token = (await world.request(boundObjectRef=bound()))["status"]["token"]
    user = service_account_user(await world.tokens.check(token))
    assert user.name == "system:serviceaccount:shop:web"
    assert user.uid == "u-sa"
    assert user.groups == (
        "system:serviceaccounts",
        "system:serviceaccounts:shop",
        "system:authenticated",
    )
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    assert user.extra["authentication.kubernetes.io/node-uid"] == ("u-node",)


GONE = {
    "the account": (SERVICE_ACCOUNT, "shop", "web"),
    "the pod": (POD, "shop", "p"),
}


@pytest.mark.parametrize("key", GONE.values(), ids=GONE)
async def test_a_token_dies_with(world, key):
    token = (await world.request(boundObjectRef=bound()))["status"]["token"]
    assert await world.tokens.check(token)
    del world.objects[key]
    assert await world.tokens.check(token) is None


async def test_a_token_dies_when_its_pod_was_made_anew(world):
    token = (await world.request(boundObjectRef=bound()))["status"]["token"]
    world.objects[(POD, "shop", "p")]["metadata"]["uid"] = "u-new"
    assert await world.tokens.check(token) is None


async def test_a_token_ends(world):
    token = (await world.request(expirationSeconds=600))["status"]["token"]
    await world.clock.advance(599)
    assert world.tokens.decode(token)
    await world.clock.advance(1)
    assert world.tokens.decode(token) is None


async def test_another_lab_s_token_is_not_ours(world):
    token = (await World().request())["status"]["token"]
    assert await world.tokens.check(token) is None
    assert await world.tokens.check("no token at all") is None


async def test_a_token_for_another_audience_is_not_for_us(world):
    token = (await world.request(audiences=["vault"]))["status"]["token"]
    assert await world.tokens.check(token) is None


AUDIENCES = {
    "the server's": ([], [], ()),
    "the server's, asked for": ([], [ISSUER, "x"], (ISSUER,)),
    "another's": (["vault", "web"], ["web"], ("web",)),
    "one of several": (["vault", "web"], ["x", "web", "vault"], ("vault", "web")),
    "the server's for another": ([], ["vault"], None),
    "another's for the server": (["vault"], [], None),
    "another's for a third": (["vault"], ["web"], None),
}


@pytest.mark.parametrize(("given", "asked", "told"), AUDIENCES.values(), ids=AUDIENCES)
async def test_a_review_is_about_audiences(world, given, asked, told):
    token = (await world.request(audiences=given))["status"]["token"]
    found = await Authenticator(world.tokens, world.clock).review(token, asked)
    if told is None:
        assert found is None
        return
    user, audiences = found
    assert user.name == "system:serviceaccount:shop:web"
    assert set(audiences) == set(told or (ISSUER,))


class TestAuthenticator:
    async def test_nothing_shown_is_anonymous(self, world):
        authenticator = Authenticator(world.tokens, world.clock)
        assert await authenticator.authenticate(None, "") is ANONYMOUS
        assert await authenticator.authenticate(None, "Basic abc") is ANONYMOUS

    async def test_a_bad_token_is_401(self, world):
        with pytest.raises(ApiError) as raised:
            await Authenticator(world.tokens, world.clock).authenticate(None, "Bearer x")
        assert (raised.value.code, raised.value.message) == (401, "Unauthorized")

    async def test_a_fixed_token_names_its_user(self, world):
        user = UserInfo("me")
        authenticator = Authenticator(world.tokens, world.clock, static_tokens={"secret": user})
        assert await authenticator.authenticate(None, "Bearer secret") is user
        assert await authenticator.review("secret", ()) == (user, ())
        assert await authenticator.review("secret", ("vault",)) is None
        with pytest.raises(ApiError, match="Unauthorized"):
            await authenticator.authenticate(None, "Bearer no UTF-8 \udcff")

    async def test_a_good_token_is_remembered_for_ten_seconds(self, world):
        token = (await world.request())["status"]["token"]
        authenticator = Authenticator(world.tokens, world.clock)
        await authenticator.authenticate(None, f"Bearer {token}")
        del world.objects[(SERVICE_ACCOUNT, "shop", "web")]
        await world.clock.advance(9)
        assert await authenticator.authenticate(None, f"Bearer {token}")
        await world.clock.advance(2)
        with pytest.raises(ApiError):
            await authenticator.authenticate(None, f"Bearer {token}")
