/* What C pays for receiving deliveries: OpenSSL, epoll, and a search for the end of each message.
   Run as: floor ADDRESS PORT DOMAIN NODE FILE, FILE holding a line "LOCALPART PLAIN-IN-BASE64" for
   each session. Prints "ready" when all are online, and the deliveries so far for each line that it
   reads from its standard input; ends with it. Built by `gridlab bench load` where there is a gcc. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define SESSIONS 65536
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
    snprintf(stanza, sizeof stanza,
             "<iq type='set' id='s' to='broker.%s'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
             "<subscribe node='%s' jid='%s@%s'/></pubsub></iq>", argv[3], argv[4], who, argv[3]);
    step(fd, tls, stanza, "<iq ");
    step(fd, tls, "<presence/>", NULL);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

int main(int count, char **argv) {
    if (count != 6) fail("ADDRESS PORT DOMAIN NODE FILE");
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &server.sin_addr);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    FILE *accounts = fopen(argv[5], "r");
    if (!accounts) fail("no accounts");
    int poll = epoll_create1(0);
    struct epoll_event event = {EPOLLIN, {.fd = 0}}, events[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    char who[256], plain[512];
    while (fscanf(accounts, "%255s %511s", who, plain) == 2) {
        event.data.fd = online(&server, context, argv, who, plain);
        epoll_ctl(poll, EPOLL_CTL_ADD, event.data.fd, &event);
    }
    puts("ready");
    fflush(stdout);
    for (long deliveries = 0;;) {
        int ready = epoll_wait(poll, events, 256, -1);
        for (int k = 0; k < ready; k++) {
            int fd = events[k].data.fd, got;
            if (fd == 0) {
                if (read(0, buffer, sizeof buffer) <= 0) return 0;
                printf("%ld\n", deliveries);
                fflush(stdout);
                continue;
            }
            while ((got = SSL_read(secured[fd], buffer, sizeof buffer)) > 0) {
                for (char *at = buffer; (at = memmem(at, buffer + got - at, "</message>", 10)); at += 10)
                    deliveries++;
                if (!SSL_has_pending(secured[fd])) break;
            }
            if (got == 0) fail("the server closed a connection");
        }
    }
}
