/* What a WebSocket client may say, and how often.
 * links: api */
#include "tests/tap.h"

#include "config/clock.h"
#include "config/err.h"
#include "server/api/topics.h"

#include <string.h>

static struct client_message message;

static int parse(const char *text)
{
    struct why why = {0};
    int        rc  = client_message_parse(&message, text, strlen(text), &why);

    if (rc != 0 && why.text[0] == '\0')
        diag("no reason for %s", text);
    return rc != 0 && why.text[0] == '\0' ? 1 : rc;
}

static void test_good(void)
{
    is_int(
        parse(
            "{\"type\":\"subscribe\",\"topics\":[\"events\",\"counts\",\"health\",\"tracks/gate\","
            "\"video/north gate\"],\"since\":1000,\"video\":\"h264\"}"),
        0, "everything at once");
    is_int(message.verb, CLIENT_SUBSCRIBE, "subscribe");
    is_int(message.topic_count, 5, "five topics");
    ok(message.since_given && message.since == 1000, "since");
    ok(message.h264, "h264");
    is_int(message.topics[3].kind, TOPIC_TRACKS, "tracks");
    is_text(message.topics[4].camera, "north gate", "the camera of a topic");
    is_int(parse("{\"type\":\"unsubscribe\",\"topics\":[\"counts\"]}"), 0, "unsubscribe");
    is_int(message.verb, CLIENT_UNSUBSCRIBE, "unsubscribe it is");
    is_int(parse("{\"topics\":[],\"type\":\"subscribe\"}"), 0, "in any order, no topic at all");
    ok(!message.since_given, "no since");
    for (int i = TOPIC_EVENTS; i <= TOPIC_VIDEO; i++) {
        struct topic topic = {.kind = (enum topic_kind)i}, again;
        char         name[TOPIC_NAME_BYTES];
        if (i >= TOPIC_TRACKS)
            memcpy(topic.camera, "x", 2);
        topic_name(&topic, name);
        ok(topic_parse(&again, name, strlen(name), NULL) == 0 && again.kind == topic.kind &&
               strcmp(again.camera, topic.camera) == 0,
           "%s there and back", name);
    }
}

static void test_bad(void)
{
    static const struct {
        const char *text;
        int         code;
    } cases[] = {
        {"", ERR_INVALID},
        {"{", ERR_INVALID},
        {"[]", ERR_INVALID},
        {"null", ERR_INVALID},
        {"{}", ERR_INVALID},
        {"{\"type\":\"subscribe\"}", ERR_INVALID},
        {"{\"type\":\"shout\",\"topics\":[]}", ERR_INVALID},
        {"{\"type\":7,\"topics\":[]}", ERR_INVALID},
        {"{\"type\":null,\"topics\":[]}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":\"events\"}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[7]}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[\"event\"]}", ERR_NOT_FOUND},
        {"{\"type\":\"subscribe\",\"topics\":[\"eventss\"]}", ERR_NOT_FOUND},
        {"{\"type\":\"subscribe\",\"topics\":[\"tracks\"]}", ERR_NOT_FOUND},
        {"{\"type\":\"subscribe\",\"topics\":[\"tracks/\"]}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[\"video/"
         "0123456789012345678901234567890123456789012345678901234567890123\"]}",
         ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"since\":-1}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"since\":1.5}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"since\":\"1\"}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"since\":99999999999999999999}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"video\":\"h265\"}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"video\":null}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[],\"more\":1}", ERR_INVALID},
        {"{\"type\":\"unsubscribe\",\"topics\":[],\"since\":1}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"type\":\"subscribe\",\"topics\":[]}", ERR_INVALID},
        {"{\"type\":\"subscribe\",\"topics\":[]} x", ERR_INVALID},
        {"[[[[[[[[[[[[[[[[[[[[", ERR_INVALID},
    };
    static char many[8192] = "{\"type\":\"subscribe\",\"topics\":[\"events\"";

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        is_int(parse(cases[i].text), cases[i].code, "%.60s", cases[i].text);
    for (int i = 0; i < LIMIT_SUBSCRIPTIONS; i++)
        strncat(many, ",\"events\"", sizeof many - strlen(many) - 1);
    strncat(many, "]}", sizeof many - strlen(many) - 1);
    is_int(parse(many), ERR_INVALID, "a topic too many");
}

static void test_rate(void)
{
    struct message_rate rate    = {0};
    int64_t             now_ns  = 1;
    int                 allowed = 0;

    for (int i = 0; i < 100; i++)
        allowed += message_rate_allows(&rate, now_ns);
    is_int(allowed, CLIENT_MESSAGES_PER_S, "at once: as many as in a second");
    for (int i = 0; i < 1000; i++) {
        now_ns += NS_PER_S / 100;
        allowed += message_rate_allows(&rate, now_ns);
    }
    is_near(allowed, 11 * CLIENT_MESSAGES_PER_S, 2, "and so many a second after that");
}

int main(void)
{
    test_good();
    test_bad();
    test_rate();
    return done_testing();
}
