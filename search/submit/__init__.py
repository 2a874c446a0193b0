"""Searches on a cluster, as Ray jobs: `python -m search.submit CONFIG --address http://HEAD:8265`.

What is sent (`tree`, `ignore`, `package`) and with which environment (`environment`, `start`); to whom (`head`) and
whether it can run there (`search.spec.resources`); what comes of it (`follow`); the result brought back (`fetch`,
`handout`).
"""
