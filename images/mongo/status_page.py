"""The page that ``mongod --rest --httpinterface`` showed on port 28017.

Pure: what the server knows in, HTML out.
"""

import html

_STYLE = (
    '<style type="text/css" media="screen">'
    "body { font-family: helvetica, arial, san-serif }\n"
    "table { border-collapse:collapse; border-color:#999; margin-top:.5em }\n"
    "th { background-color: #eee; color:#000 }\n"
    "td,th { padding:.25em }\n"
    "</style>"
)


def render(*, hostname, version, uptime_s, options, databases, connections):
    """Return the page. databases: name -> names of its collections."""
    title = html.escape(f"mongod {hostname}")
    rows = [
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(', '.join(collections))}</td></tr>"
        for name, collections in databases.items()
    ]
    lines = [
        "<html><head>",
        f"<title>{title}</title>",
        _STYLE,
        "</head>",
        "<body>",
        f"<h2>{title}</h2><p>",
        "<pre>",
        f"db version v{html.escape(version)}",
        f"options: {html.escape(' '.join(options))}",
        f"uptime: {int(uptime_s)} seconds",
        f"connections: {connections}",
        "</pre>",
        "<table border=1 cellpadding=2 cellspacing=0>",
        "<tr><th>database</th><th>collections</th></tr>",
        *rows,
        "</table>",
        "</body></html>",
        "",
    ]
    return "\n".join(lines)
