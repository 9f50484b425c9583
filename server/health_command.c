/* `sightline health`: asks the server on this machine whether it is ready. For container health
 * checks, so that the image needs no other HTTP client. */
#include "config/settings.h"
#include "server/commands.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMEOUT_S 4 /* less than the health check's own 5 s, so that its reason is seen */

/* A server that listens on every address is asked on the loopback. */
static int connect_to(const char *listen_address, uint16_t port)
{
    struct sockaddr_in  v4      = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6      = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct timeval      timeout = {.tv_sec = TIMEOUT_S};
    bool                is_v6   = strchr(listen_address, ':') != NULL;
    int                 rc;
    int                 fd;

    if (strcmp(listen_address, "0.0.0.0") == 0)
        listen_address = "127.0.0.1";
    if (strcmp(listen_address, "::") == 0)
        listen_address = "::1";
    inet_pton(AF_INET, listen_address, &v4.sin_addr);
    inet_pton(AF_INET6, listen_address, &v6.sin6_addr);
    fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    rc = is_v6 ? connect(fd, (struct sockaddr *)&v6, sizeof v6)
               : connect(fd, (struct sockaddr *)&v4, sizeof v4);
    if (rc != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int command_health(int argc, char **argv)
{
    static const char REQUEST[] = "GET /api/v1/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    static struct settings_problems problems;
    struct settings                *settings;
    char                            answer[2048];
    size_t                          used = 0;
    ssize_t                         got;
    char                           *body;
    int                             fd;

    if (argc != 1 && !(argc == 3 && strcmp(argv[1], "-c") == 0)) {
        fputs("usage: sightline health [-c FILE]\n", stderr);
        return 2;
    }
    if (settings_load(&settings, argc == 3 ? argv[2] : commands_default_settings_file(),
                      &problems) != 0) {
        fprintf(stderr, "%s\n", problems.problem[0].text);
        return 1;
    }
    fd = connect_to(settings->http_listen, settings->http_port);
    settings_free(&settings);
    if (fd < 0 || write(fd, REQUEST, sizeof REQUEST - 1) != (ssize_t)(sizeof REQUEST - 1)) {
        fputs("no answer\n", stderr);
        if (fd >= 0)
            close(fd);
        return 1;
    }
    while (used < sizeof answer - 1 &&
           (got = read(fd, answer + used, sizeof answer - 1 - used)) > 0)
        used += (size_t)got;
    close(fd);
    answer[used] = '\0';
    body         = strstr(answer, "\r\n\r\n");
    puts(body == NULL ? "no answer" : body + 4);
    return strncmp(answer, "HTTP/1.1 200", 12) == 0 ? 0 : 1;
}
