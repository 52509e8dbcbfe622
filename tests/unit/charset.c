/* Encoded words in any character set that iconv(3) knows. */
#include "mailkeyd/mail_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

/* Each begins with "GET ", so that a wrong table spoils the command too. */
static const struct {
	const char *name, *word, *want;
} cases[] = {
    {"ISO-8859-1", "=?ISO-8859-1?Q?GET_M=FCller?=", "GET Müller"},
    {"Latin-1 by its short name", "=?l1?Q?GET_M=FCller?=", "GET Müller"},
    {"ISO-8859-2", "=?iso-8859-2?Q?GET_=A3=F3d=BC?=", "GET Łódź"},
    {"windows-1251", "=?windows-1251?B?R0VUIMji4O0=?=", "GET Иван"},
    {"windows-1255", "=?WINDOWS-1255?B?R0VUIPns5e0=?=", "GET שלום"},
    {"windows-1258, an accent of its own",
	"=?windows-1258?Q?GET_Vi=EA=F2t?=", "GET Việt"},
    {"KOI8-U", "=?koi8-u?Q?GET_=EB=C9=A7=D7?=", "GET Київ"},
    {"IBM850", "=?ibm850?Q?GET_M=81ller?=", "GET Müller"},
    {"IBM850 as cp850", "=?cp850?Q?GET_M=81ller?=", "GET Müller"},
    {"macintosh", "=?macintosh?Q?GET_M=9Fller?=", "GET Müller"},
    {"EBCDIC, IBM037",
	"=?IBM037?Q?=C7=C5=E3=40=D4=A4=93=93=85=99?=", "GET Muller"},
    {"ISO-2022-JP", "=?ISO-2022-JP?B?R0VUIBskQjszRUQbKEI=?=", "GET 山田"},
    {"Shift_JIS", "=?Shift_JIS?B?R0VUII5Sk2M=?=", "GET 山田"},
    {"EUC-JP", "=?EUC-JP?B?R0VUILuzxcQ=?=", "GET 山田"},
    {"EUC-KR", "=?EUC-KR?B?R0VUILHiuPE=?=", "GET 기목"},
    {"ks_c_5601-1987, as Outlook has it",
	"=?ks_c_5601-1987?B?R0VUILHiuPE=?=", "GET 기목"},
    {"ISO-2022-KR", "=?ISO-2022-KR?B?GyQpQ0dFVCAOMWI4cQ8=?=", "GET 기목"},
    {"ISO-2022-CN-EXT, the common part of it",
	"=?ISO-2022-CN-EXT?B?R0VUIBskKUEOVlBORA8=?=", "GET 中文"},
    {"GB2312", "=?gb2312?B?R0VUINbQzsQ=?=", "GET 中文"},
    {"GB18030, four octets", "=?GB18030?B?R0VUINbQgTCENg==?=", "GET 中¥"},
    {"Big5", "=?big5?B?R0VUIKSkpOU=?=", "GET 中文"},
    {"Big5-HKSCS", "=?Big5-HKSCS?B?R0VUIJ3v?=", "GET 嘅"},
    {"TSCII", "=?TSCII?B?R0VUIKut?=", "GET அஇ"},
    {"TIS-620", "=?TIS-620?B?R0VUIODBzQ==?=", "GET เมอ"},
    {"UTF-7", "=?UTF-7?Q?GET_M+APw-ller?=", "GET Müller"},
    {"UTF-16BE", "=?UTF-16BE?B?AEcARQBUACAATQD8?=", "GET Mü"},
    {"UTF-16LE", "=?UTF-16LE?B?RwBFAFQAIABNAPwA?=", "GET Mü"},
    {"UTF-16 with its mark", "=?UTF-16?B?/v8ARwBFAFQAIABNAPw=?=", "GET Mü"},
    {"UTF-16 with the other mark, after that",
	"=?UTF-16?B?//5HAEUAVAAgAE0A/AA=?=", "GET Mü"},
    {"UTF-16 without one", "=?UTF-16?B?AEcARQBUACAATQD8?=", "GET Mü"},
    {"UTF-8 by another name", "=?utf8?Q?GET_M=C3=BCller?=", "GET Müller"},
    {"a character over two words",
	"=?EUC-JP?B?R0VUILuzxQ==?= =?EUC-JP?B?xA==?=", "GET 山田"},
    {"what the set has not", "=?ISO-8859-3?Q?GET_=A5?=", "GET \xef\xbf\xbd"},
    {"no such set: as Latin-1", "=?x-klingon?Q?GET_M=FCller?=", "GET Müller"},
};

static void
words(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *got = mail_words_decode(
		    cases[i].word, strlen(cases[i].word), 1000);

		assert_non_null(got);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: \"%s\"", cases[i].name, got);
		free(got);
	}
}

/* What iconv(3) makes of the octets, with U+FFFD for each it refuses. */
static char *
by_iconv(iconv_t cd, char *in, size_t left)
{
	char *text = calloc(1, 16 * left + 100), *to = text;
	size_t space = 16 * left + 99;

	assert_non_null(text);
	while (left > 0 && iconv(cd, &in, &left, &to, &space) == (size_t)-1) {
		assert_int_not_equal(errno, E2BIG);
		memcpy(to, "\xef\xbf\xbd", 3);
		to += 3;
		space -= 3;
		in++;
		left--;
	}
	iconv(cd, NULL, NULL, &to, &space);
	return text;
}

static char *
by_us(const char *name, size_t namelen, const char *in, size_t len)
{
	char copy[64], *text;
	size_t textlen;
	FILE *out = open_memstream(&text, &textlen);

	assert_non_null(out);
	memcpy(copy, in, len);
	mail_charset_put(out, name, namelen, copy, len);
	assert_int_equal(fclose(out), 0);
	return text;
}

static void
compare(const char *name, size_t namelen, iconv_t cd)
{
	char octets[64];

	for (unsigned round = 0; round < 40; round++) {
		size_t len = 1 + (size_t)rand() % sizeof(octets);
		char *want, *got;

		for (size_t i = 0; i < len; i++)
			octets[i] = (char)(rand() % 255 + 1);
		iconv(cd, NULL, NULL, NULL, NULL);
		want = by_iconv(cd, octets, len);
		got = by_us(name, namelen, octets, len);
		if (strcmp(got, want) != 0)
			fail_msg("%.*s: \"%s\" instead of \"%s\"", (int)namelen,
			    name, got, want);
		free(got);
		free(want);
	}
}

/* What we read in another way than iconv(3), on purpose. */
static bool
is_otherwise(const char *name)
{
	static const char *const names[] = {"ISO-2022-CN-EXT", "ISO2022CNEXT",
	    "UTF-16", "UTF16", "UNICODE", "CSUNICODE", "UTF-32", "UTF32"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* Tables and open sets alike, by every name that iconv(3) knows as well. */
static void
as_iconv(void **state)
{
	unsigned n = 0;

	(void)state;
	srand(1);
	for (size_t i = 0; mail_charset_names[i] != NULL; i++) {
		const char *name = mail_charset_names[i];

		for (; *name != '\0'; name += strspn(name, " ")) {
			size_t len = strcspn(name, " ");
			char copy[64];
			iconv_t cd;

			snprintf(copy, sizeof(copy), "%.*s", (int)len, name);
			name += len;
			if (is_otherwise(copy))
				continue;
			cd = iconv_open("UTF-8", copy);
			if (cd != (iconv_t)-1) {
				compare(copy, len, cd);
				iconv_close(cd);
				n++;
			}
		}
	}
	/* another C library may know less, but not next to nothing */
	assert_true(n > 100);
}

static int
prepare(void **state)
{
	(void)state;
	mail_charset_prepare(true);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words),
	    cmocka_unit_test(as_iconv),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}
