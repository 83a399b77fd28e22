/* Lines of Dovecot's authentication protocol. */
#include "smtpd/dovecot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int
bad(void)
{
	errno = EBADMSG;
	return -1;
}

/* The next word of *p, which moves on; NULL behind the last. */
static char *
next_word(char **p)
{
	char *word = *p, *tab;

	if (word == NULL)
		return NULL;
	if ((tab = strchr(word, '\t')) != NULL)
		*tab++ = '\0';
	*p = tab;
	return word;
}

static int
number(const char *s, uint32_t *out)
{
	unsigned long v;
	size_t n;

	if (s == NULL || (n = strspn(s, "0123456789")) == 0 || n > 10 || s[n] != '\0')
		return -1;
	v = strtoul(s, NULL, 10);
	if (v > UINT32_MAX)
		return -1;
	*out = (uint32_t)v;
	return 0;
}

/* Tabs, line ends and NUL come as ^A and a letter. */
static void
unescape(char *s)
{
	char *to = s;

	for (; *s != '\0'; s++) {
		if (*s != '\001' || s[1] == '\0') {
			*to++ = *s;
			continue;
		}
		switch (*++s) {
		case 't':
			*to++ = '\t';
			break;
		case 'n':
			*to++ = '\n';
			break;
		case 'r':
			*to++ = '\r';
			break;
		case '0': /* which no name of ours can have */
			*to++ = '?';
			break;
		default:
			*to++ = '\001';
		}
	}
	*to = '\0';
}

static void
parameters(char *p, struct dovecot_line *out)
{
	int elsewhere = 0, barred = 0;
	char *word;

	while ((word = next_word(&p)) != NULL) {
		unescape(word);
		if (strncmp(word, "user=", 5) == 0)
			out->user = word + 5;
		else if (strncmp(word, "reason=", 7) == 0)
			out->reason = word + 7;
		else if (strcmp(word, "temp") == 0 || strcmp(word, "code=temp_fail") == 0)
			out->temporary = 1;
		else if (strcmp(word, "nologin") == 0)
			barred = 1;
		else if (strcmp(word, "proxy") == 0 || strcmp(word, "proxy_maybe") == 0)
			elsewhere = 1;
	}
	/* Who has his mailbox at another host of theirs is barred from this one only. */
	out->barred = barred && !elsewhere;
}

int
dovecot_parse(char *line, struct dovecot_line *out)
{
	static const struct {
		const char *word;
		enum dovecot_verb verb;
	} verbs[] = {{"VERSION", DOVECOT_VERSION}, {"MECH", DOVECOT_MECH}, {"DONE", DOVECOT_DONE},
	    {"OK", DOVECOT_OK}, {"FAIL", DOVECOT_FAIL}, {"CONT", DOVECOT_CONT}};
	char *p = line, *verb = next_word(&p);
	uint32_t major;
	size_t i;

	memset(out, 0, sizeof *out);
	out->word = out->user = out->reason = "";
	for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (strcmp(verb, verbs[i].word) == 0)
			out->verb = verbs[i].verb;
	switch (out->verb) {
	case DOVECOT_VERSION:
		if (number(next_word(&p), &major) == -1)
			return bad();
		out->major = major;
		break;
	case DOVECOT_MECH:
		if ((out->word = next_word(&p)) == NULL || out->word[0] == '\0')
			return bad();
		break;
	case DOVECOT_OK:
	case DOVECOT_FAIL:
	case DOVECOT_CONT:
		if (number(next_word(&p), &out->id) == -1)
			return bad();
		if (out->verb != DOVECOT_CONT)
			parameters(p, out);
		else if ((out->word = next_word(&p)) == NULL)
			out->word = "";
		break;
	default:
		break;
	}
	return 0;
}

/* All of it, or nothing. */
static int
undo(struct buf *b, size_t had)
{
	b->end = b->off + had;
	return -1;
}

static int
is_word(const char *s)
{
	return s == NULL || strpbrk(s, "\t\r\n\001") == NULL;
}

int
dovecot_hello(struct buf *out, uint32_t cpid)
{
	return buf_printf(out, "VERSION\t1\t2\nCPID\t%u\n", cpid);
}

int
dovecot_auth(struct buf *out, uint32_t id, const char *mech, int secured, const char *lip,
    const char *rip, const char *resp)
{
	size_t had = buf_len(out);

	if (!is_word(mech) || !is_word(lip) || !is_word(rip) || !is_word(resp)) {
		errno = EINVAL;
		return -1;
	}
	if (buf_printf(out, "AUTH\t%u\t%s\tservice=smtp\tnologin%s", id, mech,
		secured ? "\tsecured" : "") == -1 ||
	    (lip[0] != '\0' && buf_printf(out, "\tlip=%s", lip) == -1) ||
	    (rip[0] != '\0' && buf_printf(out, "\trip=%s", rip) == -1) ||
	    /* Last: whatever is behind it would belong to it. */
	    (resp != NULL && buf_printf(out, "\tresp=%s", resp) == -1) || buf_putc(out, '\n') == -1)
		return undo(out, had);
	return 0;
}

int
dovecot_cont(struct buf *out, uint32_t id, const char *resp)
{
	if (!is_word(resp)) {
		errno = EINVAL;
		return -1;
	}
	return buf_printf(out, "CONT\t%u\t%s\n", id, resp);
}
