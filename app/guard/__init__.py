"""Access to the server and limits on requests; pure ASGI, in front of all routes.

`Guard` checks a request's host, origin and key, bounds its body and adds headers to every answer; `hosts`, `keys` and
`headers` hold the rules. `connections` limits connections before there is a request: their number, slow heads, readers
that stopped reading. Nothing here depends on what is served.
"""
