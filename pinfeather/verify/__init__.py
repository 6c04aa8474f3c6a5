"""`pinfeather verify`: whether running proxies do what a document says, asked over the network and judged exactly.

What is expected comes from the decision core, never from a proxy. `questions` makes the requests out of the document, `column` is one
proxy under questions, `measure` asks and judges, `starting` starts proxies and demo servers on loopback, `table` prints.
"""
