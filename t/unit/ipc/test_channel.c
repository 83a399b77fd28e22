#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/messages.h"
#include "t/unit/unit.h"

Suite *channel_suite(void);

static struct ipc a, b;

static void
open_pair(enum proc_id left, enum proc_id right)
{
	int fds[2];

	ck_assert_int_eq(ipc_pair(fds), 0);
	ipc_init(&a, fds[0], left, right);
	ipc_init(&b, fds[1], right, left);
}

static void
close_pair(void)
{
	ipc_close(&a);
	ipc_close(&b);
}

START_TEST(a_message_arrives_with_its_id_and_fields)
{
	struct dns_addr_req q = {.name = "mail.example.org"};
	struct ipc_msg m;

	open_pair(P_SMTPD, P_DNSD);
	ck_assert_int_eq(ipc_send(&a, M_dns_addr_req, 42, &q, -1, 1000), 0);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), 0);
	ck_assert_uint_eq(m.id, 42);
	ck_assert_uint_eq(m.def->type, M_dns_addr_req);
	ck_assert_str_eq(((struct dns_addr_req *)m.body)->name, "mail.example.org");
	ipc_done(&b, &m);
	close_pair();
}
END_TEST

START_TEST(a_sender_that_the_table_does_not_name_cannot_send)
{
	struct dns_addr_req q = {.name = "x.example"};

	open_pair(P_CRYPTOD, P_DNSD);
	ck_assert_int_eq(ipc_queue(&a, M_dns_addr_req, 1, &q, -1), -1);
	ck_assert_int_eq(errno, EPERM);
	close_pair();
}
END_TEST

START_TEST(a_receiver_refuses_what_the_table_does_not_allow_and_stays_in_step)
{
	struct dns_addr_req q = {.name = "x.example"};
	struct ipc_msg m;

	/* The sender lies about who it is: the receiver knows it as cryptod. */
	open_pair(P_SMTPD, P_DNSD);
	b.peer = P_CRYPTOD;
	ck_assert_int_eq(ipc_send(&a, M_dns_addr_req, 1, &q, -1, 1000), 0);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), -1);
	ck_assert_int_eq(errno, EPROTO);
	b.peer = P_SMTPD;
	ck_assert_int_eq(ipc_send(&a, M_dns_addr_req, 2, &q, -1, 1000), 0);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), 0);
	ck_assert_uint_eq(m.id, 2);
	ipc_done(&b, &m);
	close_pair();
}
END_TEST

START_TEST(bytes_that_are_no_frame_end_the_channel)
{
	uint8_t junk[64];
	struct ipc_msg m;

	memset(junk, 0xff, sizeof junk);
	open_pair(P_SMTPD, P_DNSD);
	ck_assert_int_eq(write(a.fd, junk, sizeof junk), sizeof junk);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), -1);
	ck_assert_int_eq(errno, EBADMSG);
	close_pair();
}
END_TEST

START_TEST(a_short_record_in_a_whole_frame_is_dropped_alone)
{
	uint8_t frame[IPC_HEADER] = {0, 0, 0, IPC_HEADER, 0x02, 0x00};
	struct dns_addr_req q = {.name = "x.example"};
	struct ipc_msg m;

	open_pair(P_SMTPD, P_DNSD);
	ck_assert_int_eq(write(a.fd, frame, sizeof frame), sizeof frame);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), -1);
	ck_assert_int_eq(errno, EPROTO);
	ck_assert_int_eq(ipc_send(&a, M_dns_addr_req, 3, &q, -1, 1000), 0);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), 0);
	ipc_done(&b, &m);
	close_pair();
}
END_TEST

/* What stands behind a descriptor: n octets of c in a pipe. */
static int
marked_fd(char c)
{
	int p[2];

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	ck_assert_int_eq(write(p[1], &c, 1), 1);
	close(p[1]);
	return p[0];
}

START_TEST(descriptors_arrive_with_their_own_messages_in_order)
{
	struct plumb q = {.peer = P_DNSD};
	struct drain d = {.seconds = 1};
	struct ipc_msg m;
	char c;
	int i;

	open_pair(P_MASTER, P_SMTPD);
	for (i = 0; i < 10; i++) {
		q.instance = (uint16_t)i;
		ck_assert_int_eq(
		    ipc_queue(&a, M_plumb, (uint64_t)i, &q, marked_fd((char)('0' + i))), 0);
		ck_assert_int_eq(ipc_queue(&a, M_drain, 100, &d, -1), 0);
	}
	ck_assert_int_eq(ipc_flush(&a), 1);
	for (i = 0; i < 10; i++) {
		ck_assert_int_eq(ipc_recv(&b, &m, 1000), 0);
		ck_assert_uint_eq(m.id, (uint64_t)i);
		ck_assert_int_eq(read(m.fd, &c, 1), 1);
		ck_assert_int_eq(c, '0' + i);
		ipc_done(&b, &m);
		ck_assert_int_eq(ipc_recv(&b, &m, 1000), 0);
		ck_assert_uint_eq(m.def->type, M_drain);
		ck_assert_int_eq(m.fd, -1);
		ipc_done(&b, &m);
	}
	close_pair();
}
END_TEST

START_TEST(a_descriptor_too_many_or_missing_is_refused_by_the_sender)
{
	struct plumb q = {.peer = P_DNSD};
	struct drain d = {.seconds = 1};

	open_pair(P_MASTER, P_SMTPD);
	ck_assert_int_eq(ipc_queue(&a, M_plumb, 1, &q, -1), -1);
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_int_eq(ipc_queue(&a, M_drain, 1, &d, marked_fd('x')), -1);
	ck_assert_int_eq(errno, EINVAL);
	close_pair();
}
END_TEST

START_TEST(a_frame_that_lies_about_its_descriptor_ends_the_channel)
{
	uint8_t frame[IPC_HEADER + 1] = {0, 0, 0, IPC_HEADER + 1, 0x01, 0x03, 1};
	struct ipc_msg m;

	open_pair(P_MASTER, P_SMTPD);
	ck_assert_int_eq(write(a.fd, frame, sizeof frame), sizeof frame);
	ck_assert_int_eq(ipc_recv(&b, &m, 1000), -1);
	ck_assert_int_eq(errno, EBADMSG);
	close_pair();
}
END_TEST

START_TEST(a_flood_of_descriptors_without_frames_ends_the_channel)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(8 * sizeof(int))];
	} control;
	int fds[8], i, round, rc = 1;
	char octet = 0;
	struct iovec iov = {&octet, 1};
	struct msghdr h = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof control.space};
	struct cmsghdr *c;

	open_pair(P_MASTER, P_SMTPD);
	for (i = 0; i < 8; i++)
		fds[i] = marked_fd('f');
	for (round = 0; round < 10 && rc == 1; round++) {
		memset(&control, 0, sizeof control);
		c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof fds);
		memcpy(CMSG_DATA(c), fds, sizeof fds);
		ck_assert_int_eq(sendmsg(a.fd, &h, 0), 1);
		rc = ipc_fill(&b);
	}
	ck_assert_int_eq(rc, -1);
	ck_assert_int_eq(errno, EBADMSG);
	for (i = 0; i < 8; i++)
		close(fds[i]);
	close_pair();
}
END_TEST

START_TEST(a_peer_that_does_not_read_does_not_take_all_memory)
{
	struct log_line q = {.level = 1};
	char text[2048];
	int n = 0;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	q.text = text;
	open_pair(P_SMTPD, P_LOGD);
	while (ipc_queue(&a, M_log_line, 0, &q, -1) == 0)
		ck_assert_int_lt(n++, 100000);
	ck_assert_int_eq(errno, ENOBUFS);
	ck_assert_uint_le(ipc_pending(&a), IPC_OUT_MAX);
	close_pair();
}
END_TEST

START_TEST(a_call_wants_its_own_answer)
{
	struct dns_addr_rep p = {.status = DNS_NOTFOUND, .text = "no such name"};
	struct dns_addr_req q = {.name = "x.example"};
	struct ipc_msg m;

	/* An answer with another id is there before the question was asked. */
	open_pair(P_DNSD, P_SMTPD);
	ck_assert_int_eq(ipc_send(&a, M_dns_addr_rep, 99999, &p, -1, 1000), 0);
	ck_assert_int_eq(ipc_call(&b, M_dns_addr_req, &q, -1, M_dns_addr_rep, &m, 1000), -1);
	ck_assert_int_eq(errno, EBADMSG);
	ck_assert_int_eq(ipc_call(&b, M_dns_addr_req, &q, -1, M_dns_addr_rep, &m, 20), -1);
	ck_assert_int_eq(errno, ETIMEDOUT);
	ipc_close(&a);
	ck_assert_int_eq(ipc_call(&b, M_dns_addr_req, &q, -1, M_dns_addr_rep, &m, 1000), -1);
	ipc_close(&b);
}
END_TEST

Suite *
channel_suite(void)
{
	return unit_suite(
	    "channel", (const TTest *const[]){a_message_arrives_with_its_id_and_fields,
			   a_sender_that_the_table_does_not_name_cannot_send,
			   a_receiver_refuses_what_the_table_does_not_allow_and_stays_in_step,
			   bytes_that_are_no_frame_end_the_channel,
			   a_short_record_in_a_whole_frame_is_dropped_alone,
			   descriptors_arrive_with_their_own_messages_in_order,
			   a_descriptor_too_many_or_missing_is_refused_by_the_sender,
			   a_frame_that_lies_about_its_descriptor_ends_the_channel,
			   a_flood_of_descriptors_without_frames_ends_the_channel,
			   a_peer_that_does_not_read_does_not_take_all_memory,
			   a_call_wants_its_own_answer, NULL});
}
