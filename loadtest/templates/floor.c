/* What C pays for receiving deliveries: OpenSSL, epoll, and a search for the end of each message.
   Run as: floor ADDRESS PORT DOMAIN NODE FILE, FILE holding a line "LOCALPART PLAIN-IN-BASE64" for
   each session. Prints "ready" when all are online, and the deliveries so far for each line that it
   reads from its standard input; ends with it. Built by `gridlab bench load` where there is a gcc.

   And what it pays for publishing: floor ADDRESS PORT DOMAIN NODE FILE COUNT PER_S TOGETHER publishes
   COUNT items, one session after another, PER_S of them a second, TOGETHER of them at one instant.
   It begins at the instant on the monotonic clock [ns] that it reads from its standard input, and
   prints how many have been answered, and the p99 of how late they were sent [ns]. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SESSIONS 65536
#define PAYLOAD_BYTES 700
#define READ_EVERY_NS 500000
static SSL *secured[SESSIONS];
static char buffer[65536];

static void fail(const char *what) {
    fprintf(stderr, "floor: %s\n", what);
    exit(1);
}

/* Send, then read until `until` has come. */
static void step(int fd, SSL *tls, const char *data, const char *until) {
    int size = strlen(data), have = 0;
    if ((tls ? SSL_write(tls, data, size) : write(fd, data, size)) != size) fail("cannot send");
    while (until) {
        int space = sizeof buffer - 1 - have;
        int got = tls ? SSL_read(tls, buffer + have, space) : read(fd, buffer + have, space);
        if (got <= 0) fail("the server closed a connection");
        have += got;
        buffer[have] = 0;
        if (strstr(buffer, until)) break;
    }
}

static int online(struct sockaddr_in *server, SSL_CTX *context, char **argv, char *who, char *plain) {
    char header[512], stanza[1024];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)server, sizeof *server)) fail("cannot connect");
    snprintf(header, sizeof header,
             "<?xml version='1.0'?><stream:stream to='%s' xmlns='jabber:client' "
             "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>", argv[3]);
    step(fd, NULL, header, "</stream:features>");
    step(fd, NULL, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<proceed");
    SSL *tls = secured[fd] = SSL_new(context);
    SSL_set_fd(tls, fd);
    SSL_set_tlsext_host_name(tls, argv[3]);
    if (SSL_connect(tls) != 1) fail("no TLS");
    step(fd, tls, header, "</stream:features>");
    snprintf(stanza, sizeof stanza,
             "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>%s</auth>", plain);
    step(fd, tls, stanza, "<success");
    step(fd, tls, header, "</stream:features>");
    step(fd, tls, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>");
    return fd;
}

static void subscribe(int fd, char **argv, char *who) {
    char stanza[1024];
    snprintf(stanza, sizeof stanza,
             "<iq type='set' id='s' to='broker.%s'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
             "<subscribe node='%s' jid='%s@%s'/></pubsub></iq>", argv[3], argv[4], who, argv[3]);
    step(fd, secured[fd], stanza, "<iq ");
    step(fd, secured[fd], "<presence/>", NULL);
}

/* How often `what` is in all that a session has for us. */
static long heard(int fd, const char *what) {
    long found = 0;
    int got, size = strlen(what);
    while ((got = SSL_read(secured[fd], buffer, sizeof buffer)) > 0) {
        for (char *at = buffer; (at = memmem(at, buffer + got - at, what, size)); at += size) found++;
        if (!SSL_has_pending(secured[fd])) break;
    }
    if (got == 0) fail("the server closed a connection");
    return found;
}

static long now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long answered(int poll, int wait_ms) {
    struct epoll_event events[256];
    long found = 0;
    int ready = epoll_wait(poll, events, 256, wait_ms);
    for (int k = 0; k < ready; k++)
        if (events[k].data.fd) found += heard(events[k].data.fd, "<iq ");
    return found;
}

static int shorter(const void *one, const void *other) {
    long a = *(const long *)one, b = *(const long *)other;
    return (a > b) - (a < b);
}

static void publish(int poll, const int *fds, int sessions, char **argv) {
    long count = atol(argv[6]), together = atol(argv[8]), start_ns, answers = 0, read_ns = 0;
    double per_s = atof(argv[7]);
    long *late_ns = calloc(count, sizeof *late_ns), *sent_ns = calloc(count, sizeof *sent_ns);
    char stanza[4096], fill[PAYLOAD_BYTES];
    memset(fill, 'x', sizeof fill);
    struct sched_param first = {1};
    sched_setscheduler(0, SCHED_FIFO, &first);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    if (scanf("%ld", &start_ns) != 1) exit(0);
    for (long k = 0; k < count; k++) {
        long due_ns = start_ns + (long)(k / together * together / per_s * 1e9), now = now_ns();
        if (now >= read_ns) {
            answers += answered(poll, 0);
            read_ns = now + READ_EVERY_NS;
        }
        struct timespec due = {due_ns / 1000000000, due_ns % 1000000000};
        if (now < due_ns) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        sent_ns[k] = now_ns();
        late_ns[k] = sent_ns[k] - due_ns;
        int size = snprintf(stanza, sizeof stanza,
                            "<iq type='set' id='p%ld' to='broker.%s'><pubsub xmlns="
                            "'http://jabber.org/protocol/pubsub'><publish node='%s'><item id='c-%ld'>"
                            "<data xmlns='urn:gridlab:opaque'>%010ld%.*s</data>"
                            "</item></publish></pubsub></iq>",
                            k, argv[3], argv[4], k, k, PAYLOAD_BYTES - 50, fill);
        if (SSL_write(secured[fds[k % sessions]], stanza, size) != size) fail("cannot publish");
    }
    for (long last_ns = now_ns(); answers < count && now_ns() < last_ns + 5000000000L;)
        answers += answered(poll, 100);
    qsort(late_ns, count, sizeof *late_ns, shorter);
    printf("%ld %ld\n", answers, late_ns[count * 99 / 100]);
    fflush(stdout);
}

int main(int count, char **argv) {
    if (count != 6 && count != 9) fail("ADDRESS PORT DOMAIN NODE FILE [COUNT PER_S TOGETHER]");
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (count == 6) SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    FILE *accounts = fopen(argv[5], "r");
    if (!accounts) fail("no accounts");
    int poll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.fd = 0}}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    char who[256], plain[512];
    static int fds[SESSIONS];
    int sessions = 0, one = 1;
    while (fscanf(accounts, "%255s %511s", who, plain) == 2) {
        int fd = fds[sessions++] = event.data.fd = online(&server, context, argv, who, plain);
        if (count == 6) subscribe(fd, argv, who);
        else setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    }
    puts("ready");
    fflush(stdout);
    if (count == 9) publish(poll, fds, sessions, argv);
    for (long deliveries = 0;;) {
        int ready = epoll_wait(poll, events, 256, -1);
        for (int k = 0; k < ready; k++) {
            int fd = events[k].data.fd;
            if (fd == 0) {
                if (read(0, buffer, sizeof buffer) <= 0) return 0;
                printf("%ld\n", deliveries);
                fflush(stdout);
                continue;
            }
            deliveries += heard(fd, "</message>");
        }
    }
}
