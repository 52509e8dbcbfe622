#!/usr/bin/env -S python3 -B
# A new command is one file and two lines, as CONTRIBUTING.md says: in a copy of
# the tree it is added so, built and used.

import os
import shutil
import subprocess

from lib import ADDRESS, B, ROOT, SAN, equal, expect, mail, maildir_to, run

HELLO = """\
/*
 * HELLO: greets.
 */
#include "handlers/handler.h"

static enum outcome
run(struct keystore *ks, const struct request *request, struct reply *reply)
{
	(void)ks;
	reply_site(reply, request);
	reply_printf(reply, "Hello, %s.\\n", request->argument);
	return DONE;
}

const struct command command_hello = {
    .name = "HELLO",
    .argument = "NAME",
    .summary = "greets NAME",
    .run = run,
};
"""


def copy_of_the_tree(place):
    """Sources and what was built of them, so that only what changes is."""
    tree = place / "tree"
    os.mkdir(tree)
    shutil.copy2(os.path.join(ROOT, "Makefile"), tree)
    for room in ("pgp", "db", "handlers", "mailkeyd"):
        shutil.copytree(os.path.join(ROOT, room), os.path.join(tree, room))
    build = os.path.join(tree, os.path.basename(B.rstrip("/")))
    shutil.copytree(
        B, build, ignore=lambda folder, names: [
            n for n in names if n in ("unit", "tools", "log", "mta", "tests")
            or not os.path.isdir(os.path.join(folder, n))
            and not os.path.isfile(os.path.join(folder, n))])
    return tree, build


def insert_behind(path, line, new):
    with open(path, encoding="utf-8") as f:
        text = f.read()
    equal(text.count(line), 1, line)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(line, line + new))


def answer(build, conf, subject):
    done = subprocess.run(
        [os.path.join(build, "mailkeyd"), "-1", "-c", conf],
        input=mail(subject), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60)
    equal(done.returncode, 0, done.stderr.decode())
    return done.stdout.decode()


def one_file_and_two_lines(place):
    """a command in one file and two lines: built, answered, in the help"""
    tree, build = copy_of_the_tree(place)
    with open(os.path.join(tree, "handlers/hello.c"), "w",
              encoding="utf-8") as f:
        f.write(HELLO)
    table = os.path.join(tree, "handlers/commands.c")
    insert_behind(table, "extern const struct command command_stats;\n",
                  "extern const struct command command_hello;\n")
    insert_behind(table, "    &command_stats,\n", "    &command_hello,\n")
    make = ["make", os.path.join(os.path.basename(build), "mailkeyd")]
    if SAN:
        make.append("SAN=1")
    # Not as a part of the make that runs the tests.
    env = {k: v for k, v in os.environ.items()
           if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "B")}
    done = subprocess.run(make, cwd=tree, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=300)
    equal(done.returncode, 0, done.stdout.decode())
    compiled = [s.split()[1] for s in done.stdout.decode().splitlines()
                if s.split()[:1] == ["CC"]]
    equal(sorted(compiled), ["handlers/commands.c", "handlers/hello.c"],
          "compiled")
    conf = place.write("conf", f"""
address = "{ADDRESS}"
state = "{place / 'state'}"
libexec = "{build}"
cache = 16M
{maildir_to(place / "Maildir")}
limits {{ free_space = 16M }}
""")
    text = answer(build, conf, "hello  World")
    expect("Subject: Your command, hello World" in text, text)
    expect("Hello, World." in text, text)
    for language in ("", " de", " ja"):
        text = answer(build, conf, "HELP" + language)
        expect("HELLO" in text and "greets NAME" in text, text)


run(one_file_and_two_lines)
