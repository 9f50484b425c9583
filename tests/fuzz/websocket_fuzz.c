// links: api
// Any bytes as what a WebSocket client says: as the text of a message, as a message in a good frame, and as raw frames,
// through libwebsockets and back.
#include "tests/fuzz/api_fuzz.h"

#include "server/api/topics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const char upgrade[] = "GET /api/v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void check_message(const char *text, size_t bytes)
{
    static struct client_message message;
    struct why                   why = {0};

    if (client_message_parse(&message, text, bytes, &why) != 0) {
        ASSERT(why.text[0] != '\0');
        return;
    }
    ASSERT(message.topic_count >= 0 && message.topic_count <= LIMIT_SUBSCRIPTIONS);
    for (int i = 0; i < message.topic_count; i++) {
        struct topic again;
        char         name[TOPIC_NAME_BYTES];
        topic_name(&message.topics[i], name);
        ASSERT(topic_parse(&again, name, strlen(name), NULL) == 0);
        ASSERT(again.kind == message.topics[i].kind);
        ASSERT(strcmp(again.camera, message.topics[i].camera) == 0);
    }
}

/* With a mask of zeros, which leaves the bytes as they are. */
static void say_framed(int fd, const uint8_t *data, size_t bytes)
{
    uint8_t head[8] = {0x81, 0x80 | 126, (uint8_t)(bytes >> 8), (uint8_t)bytes};

    if (bytes < 126) {
        head[1] = (uint8_t)(0x80 | bytes);
        head[2] = head[3] = 0;
    }
    fuzz_say(fd, head, bytes < 126 ? 6 : 8);
    fuzz_say(fd, data, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    int fd;

    if (fuzz.api == NULL)
        fuzz_open();
    check_message((const char *)data, bytes);
    fd = fuzz_connect();
    fuzz_say(fd, upgrade, sizeof upgrade - 1);
    if (bytes < 65536)
        say_framed(fd, data, bytes);
    fuzz_say(fd, data, bytes);
    fuzz_hang_up(fd);
    return 0;
}
