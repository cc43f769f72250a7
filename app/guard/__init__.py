"""Access to the server and limits on requests; pure ASGI, in front of all routes.

`Guard` checks a request's host, origin and key, bounds its body and gives every answer its headers; `hosts`, `keys` and
`headers` hold the rules. `connections` bounds what comes before a request: open connections, slow heads, readers that
stopped reading. Nothing here knows what is served.
"""
