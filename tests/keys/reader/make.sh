#!/bin/sh
# Makes the keys of this folder anew: two people, one's revocation and a
# signature by her, the other's secret key (made for this and nothing else), a
# message that is no key.
set -eu
cd "$(dirname "$0")"
GNUPGHOME=$(mktemp -d)
export GNUPGHOME
trap 'gpgconf --kill gpg-agent; rm -rf "$GNUPGHOME"' EXIT
g() {
	gpg --batch -q --no-auto-check-trustdb --passphrase '' \
	    --faked-system-time 20200102T030405! "$@"
}
g --quick-gen-key 'Reader Alice <alice@reader.example>' ed25519 sign never
g --quick-gen-key 'Reader Bob <bob@reader.example>' ed25519 sign never
g --armor --export alice@reader.example >alice.asc
g --export alice@reader.example >alice.gpg
g --armor --export bob@reader.example >bob.asc
g --armor --export-secret-keys bob@reader.example >bob-secret.asc
sed -n 's/^:*//; /^-----BEGIN/,$p' "$GNUPGHOME"/openpgp-revocs.d/"$(
	g --with-colons --list-keys alice@reader.example |
	    awk -F: '$1 == "fpr" { print $10; exit }'
)".rev >alice-revocation.asc
echo hello | g --armor --store >message.asc
echo hello | g --armor -u alice@reader.example --detach-sign >signature.asc
