/*
 * What reads a stream of certificates, for its own two files: reader_input.c
 * finds the packets, reader.c makes certificates of them.
 */
#ifndef READER_INPUT_H
#define READER_INPUT_H

#include "pgp/internal.h"

#define INPUT_SIZE 65536
#define LINE_SIZE  16384

enum mode {
	START,	/* between blocks: packets or text? */
	SEARCH, /* for the next armored block */
	BINARY,
	ARMOR
};

struct buffer {
	unsigned char *data;
	size_t len, size;
};

struct pgp_reader {
	pgp_read *read;
	void *ctx;
	struct pgp_policy policy;
	size_t collect_max;

	unsigned char in[INPUT_SIZE];
	size_t in_pos, in_len;
	uint64_t taken; /* octets read, in[] included */
	bool eof, failed;

	enum mode mode;
	bool armored;	     /* the block before this text was */
	bool text;	     /* there is text that is no block */
	bool begun;	     /* the BEGIN line of a block has been read */
	enum pgp_status why; /* how the block ended: PGP_END if well */
	struct armor_decoder decoder;
	char line[LINE_SIZE];
	unsigned char octets[LINE_SIZE / 4 * 3 + 3];
	size_t octets_pos, octets_len;

	bool has_header;    /* of the packet that begins the next item */
	uint64_t header_at; /* in BINARY: where it begins */
	unsigned tag;
	struct packet_length length;

	struct buffer body; /* of the packet under way */
	bool over;	    /* it is longer than was asked for */
	struct buffer out;
};

/* False: no memory. */
bool buffer_add(struct buffer *, const unsigned char *, size_t);
/* Overwrites and empties it. */
void buffer_wipe(struct buffer *);

/* Overwrites all that was read, but not what is still to be read. */
void reader_wipe(struct pgp_reader *);

/* To the next block, when there is none under way.  PGP_OK; at the end of the
 * stream PGP_END, or PGP_MALFORMED where text came that no block was in. */
enum pgp_status reader_begin_block(struct pgp_reader *);
/* Ends the block under way, for this reason. */
void reader_end_block(struct pgp_reader *, enum pgp_status why);

/* The header of the next packet, unless it was read before.  PGP_OK; PGP_END at
 * the end of the block, when it ended well. */
enum pgp_status reader_header(struct pgp_reader *);
/* Reads the body that belongs to the header; over: longer than cap. */
enum pgp_status reader_body(struct pgp_reader *, size_t cap);

#endif
