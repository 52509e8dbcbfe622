#!/usr/bin/env -S python3 -B
# The budgets of addresses, domains and the server, in answers and in octets:
# each stops at its value and is remembered over a restart; 0 is none.

from lib import equal, expect, mail, new_id, run, smtp_to, wait_until

ANSWER = 400    # an answer to GET nobody-has-this has more octets, and
                # two of them have more than 1K
SAME = ["a@one.example"] * 6
DOMAIN = [f"{c}@one.example" for c in "abcdef"]
OTHERS = [f"a@{c}.example" for c in "abcdef"]

# option, its value, who asks, how many are answered
CASES = (
    ("replies_per_hour", 3, SAME, 3),
    ("replies_per_day", 4, SAME, 4),
    ("bytes_per_day", "1K", SAME, 2),
    ("domain_per_hour", 3, DOMAIN, 3),
    ("domain_bytes_per_day", "1K", DOMAIN, 2),
    ("server_per_hour", 3, OTHERS, 3),
    ("server_bytes_per_day", "1K", OTHERS, 2),
    # What is another's budget stops nobody.
    ("replies_per_hour", 1, OTHERS, 6),
    ("bytes_per_day", 1, DOMAIN, 6),
    ("domain_per_hour", 1, OTHERS, 6),
    ("domain_bytes_per_day", 1, OTHERS, 6),
    (None, None, SAME, 6),
)

NONE = {name: 0 for name in (
    "replies_per_hour", "replies_per_day", "bytes_per_day", "domain_per_hour",
    "domain_bytes_per_day", "server_per_hour", "server_bytes_per_day")}


def send(daemon, senders):
    with daemon.lmtp() as lmtp:
        for sender in senders:
            code, _ = lmtp.send(mail("GET nobody-has-this", sender=sender),
                                sender)[0]
            equal(code, 250, "LMTP status")


def all_sent(daemon):
    wait_until(lambda: b"\nqueue\t0\n" in daemon.ctl("stats", "--tsv").stdout,
               60, "an empty queue")


def budgets(place):
    """each budget at its value and past it, over a restart, and without one"""
    for number, (option, value, senders, wanted) in enumerate(CASES):
        sink = place.sink()
        daemon = place.daemon(
            name=f"d{number}", send=smtp_to(sink.port),
            limits={**NONE, **({option: value} if option else {})})
        daemon.start()
        send(daemon, senders[:1])
        all_sent(daemon)
        equal(daemon.stop(), 0, "exit status")
        daemon.start()
        send(daemon, senders[1:])
        all_sent(daemon)
        what = f"{option} = {value}"
        equal(len(sink.got), wanted, f"{what}: answers")
        expect(all(ANSWER < len(d.raw) < 1024 for d in sink.got), "octets",
               [len(d.raw) for d in sink.got])
        equal(daemon.log().count("over budget"), 1 if wanted < 6 else 0,
              f"{what}: lines of the log")
        equal(daemon.stop(), 0, "exit status")


def both(place):
    """an answer counts for whom it goes to and for the envelope sender"""
    sink = place.sink()
    daemon = place.daemon(send=smtp_to(sink.port),
                          limits={**NONE, "replies_per_hour": 2})
    daemon.start()
    with daemon.lmtp() as lmtp:
        for i in range(4):
            lmtp.send(mail("GET nobody-has-this", message_id=new_id(),
                           headers=("Reply-To: victim@example.com",)),
                      f"u{i}@example.net")
        for _ in range(3):
            lmtp.send(mail("GET nobody-has-this"), "u0@example.net")
    all_sent(daemon)
    equal(sorted(d.recipients[0] for d in sink.got),
          ["u0@example.net", "victim@example.com", "victim@example.com"],
          "who was answered")


def deny_again(place):
    """the deny list is read again by a reload"""
    sink = place.sink()
    line = 'deny = { "mallory@example.net" }'
    daemon = place.daemon(send=smtp_to(sink.port), extra="# deny")
    daemon.start()

    def change(old, new):
        with open(daemon.conf, encoding="utf-8") as f:
            text = f.read()
        with open(daemon.conf, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))
        equal(daemon.ctl("reload").returncode, 0, "reload")
    for old, new, wanted in (("", "", 1), ("# deny", line, 1),
                             (line, "# deny", 2)):
        if old:
            change(old, new)
        send(daemon, ["mallory@example.net"])
        all_sent(daemon)
        equal(len(sink.got), wanted, "answers with " + (new or "no list"))


run(budgets, both, deny_again)
