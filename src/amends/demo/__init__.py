"""``python -m amends.demo``: orders, workers that are killed, and an audit of what the outside world saw.

`shop` is the program (a saga and its steps), `books` is the outside world (participants that write
down what they did), `worker` is the process that gets killed, `run` starts orders and kills
workers, `audit` reads the books and nothing else.
"""
