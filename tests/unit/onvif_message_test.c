// links: camera
/* What is said to ONVIF cameras and what their answers mean: the shapes that real devices send, and
 * what hostile ones may try. */
#include "server/camera/onvif_message.h"
#include "server/camera/xml_tree.h"

#include "config/err.h"
#include "tests/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define UUID "01234567-89ab-4def-8123-456789abcdef"
#define BODY(content)                                                                  \
    "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"urn:s\" xmlns:d=\"urn:d\" "          \
    "xmlns:tt=\"urn:tt\" xmlns:trt=\"urn:trt\" xmlns:tds=\"urn:tds\"><s:Body>" content \
    "</s:Body></s:Envelope>"

static struct why why;

static void test_probe(void)
{
    char             text[ONVIF_REQUEST_BYTES];
    char             uuid[ONVIF_UUID_BYTES], other[ONVIF_UUID_BYTES];
    struct xml_tree *tree;
    size_t           bytes;

    onvif_uuid(uuid);
    onvif_uuid(other);
    is_int((long)strlen(uuid), 36, "a uuid has 36 characters");
    ok(strcmp(uuid, other) != 0, "each its own");
    bytes = onvif_write_probe(uuid, text, sizeof text);
    is_int(xml_tree_read(&tree, text, bytes, &why), 0, "the question is XML");
    is_text(xml_text(xml_tree_root(tree), "Body/Probe/Types"), "dn:NetworkVideoTransmitter",
            "for cameras");
    ok(strstr(xml_text(xml_tree_root(tree), "Header/MessageID"), uuid) != NULL, "with its number");
    xml_tree_free(&tree);
}

static const char MATCHES[] =
    "<e:Envelope xmlns:e=\"e\" xmlns:w=\"w\" xmlns:d=\"d\"><e:Header>"
    "<w:RelatesTo>uuid:" UUID "</w:RelatesTo></e:Header><e:Body><d:ProbeMatches>"
    "<d:ProbeMatch><w:EndpointReference><w:Address>urn:uuid:cam-1</w:Address>"
    "</w:EndpointReference><d:Types>dn:NetworkVideoTransmitter</d:Types><d:Scopes>"
    "onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/North%20gate\n"
    "onvif://www.onvif.org/hardware/X-100 onvif://www.onvif.org/location/city%zz</d:Scopes>"
    "<d:XAddrs>http://192.0.2.4/onvif/device_service http://[fe80::4]/onvif/device_service"
    "</d:XAddrs></d:ProbeMatch>"
    "<d:ProbeMatch><w:EndpointReference><w:Address>urn:uuid:cam-2</w:Address>"
    "</w:EndpointReference><d:XAddrs> http://192.0.2.5:8000/onvif </d:XAddrs></d:ProbeMatch>"
    "<d:ProbeMatch><d:XAddrs>http://192.0.2.6/</d:XAddrs></d:ProbeMatch>"
    "</d:ProbeMatches></e:Body></e:Envelope>";

static void test_matches(void)
{
    struct onvif_match match[ONVIF_MATCHES_MAX];

    is_int(onvif_read_matches(MATCHES, strlen(MATCHES), UUID, match, ONVIF_MATCHES_MAX, &why), 2,
           "two devices with a name of their own");
    is_text(match[0].endpoint, "urn:uuid:cam-1", "endpoint");
    is_text(match[0].name, "North gate", "name, decoded");
    is_text(match[0].hardware, "X-100", "hardware");
    is_text(match[0].location, "city%zz", "what is no code stays");
    is_int(match[0].address_count, 2, "both addresses");
    is_text(match[1].address[0], "http://192.0.2.5:8000/onvif", "spaces are no part of it");
    is_int(onvif_read_matches(MATCHES, strlen(MATCHES), "another", match, ONVIF_MATCHES_MAX, &why),
           0, "an answer to somebody else's question is none");
    is_int(onvif_read_matches(MATCHES, strlen(MATCHES), UUID, match, 1, &why), 1, "bounded");
    is_int(onvif_read_matches(MATCHES, strlen(MATCHES) / 2, UUID, match, 1, &why), ERR_CORRUPT,
           "half a datagram is refused");
}

/* Checks the digest of a request as a camera does. */
static bool digest_fits(const struct xml_element *token, const char *password)
{
    unsigned char nonce[64], digest[EVP_MAX_MD_SIZE], want[64];
    char          text[256];
    const char   *created    = xml_text(token, "Created");
    const char   *nonce_text = xml_text(token, "Nonce");
    unsigned      bytes      = 0;
    int           count;

    count = EVP_DecodeBlock(nonce, (const unsigned char *)nonce_text, (int)strlen(nonce_text));
    /* EVP_DecodeBlock counts the padding as data: 16 bytes come as 18. */
    if (count != 18)
        return false;
    memcpy(text, nonce, 16);
    count = 16 + snprintf(text + 16, sizeof text - 16, "%s%s", created, password);
    EVP_Digest(text, (size_t)count, digest, &bytes, EVP_sha1(), NULL);
    EVP_EncodeBlock(want, digest, (int)bytes);
    return strcmp((const char *)want, xml_text(token, "Password")) == 0;
}

static void test_requests(void)
{
    static const struct secret     PASSWORD    = {"pass<&>word"};
    const struct onvif_credentials credentials = {"admin&co", &PASSWORD, 3600};
    const struct onvif_credentials none        = {"", &PASSWORD, 0};
    char                           text[ONVIF_REQUEST_BYTES];
    struct xml_tree               *tree;
    const struct xml_element      *token;
    int                            bytes;

    bytes = onvif_write(ONVIF_GET_STREAM_URI, "a<b", &credentials, 1000000000, text, sizeof text);
    ok(bytes > 0 && strstr(text, "pass") == NULL, "the password itself is not in it");
    is_int(xml_tree_read(&tree, text, (size_t)bytes, &why), 0, "XML: %s", why.text);
    token = xml_find(xml_tree_root(tree), "Header/Security/UsernameToken");
    is_text(xml_text(token, "Username"), "admin&co", "the user");
    is_text(xml_text(token, "Created"), "2001-09-09T02:46:40Z", "by the camera's clock");
    ok(digest_fits(token, PASSWORD.value), "the digest is right");
    ok(!digest_fits(token, "other"), "for this password alone");
    is_text(xml_text(xml_tree_root(tree), "Body/GetStreamUri/ProfileToken"), "a<b", "profile");
    is_text(xml_text(xml_tree_root(tree), "Body/GetStreamUri/StreamSetup/Transport/Protocol"),
            "RTSP", "how");
    xml_tree_free(&tree);
    for (int request = ONVIF_GET_TIME; request <= ONVIF_GET_SNAPSHOT_URI; request++) {
        bytes = onvif_write((enum onvif_request)request, "p", &none, 0, text, sizeof text);
        ok(xml_tree_read(&tree, text, (size_t)bytes, &why) == 0 &&
               xml_find(xml_tree_root(tree), "Header/Security") == NULL,
           "%s without a user", onvif_action((enum onvif_request)request));
        xml_tree_free(&tree);
    }
    is_int(onvif_write(ONVIF_GET_PROFILES, "p", &credentials, 0, text, 300), ERR_LIMIT,
           "too little room is said");
}

static void test_answers(void)
{
    static const char TIME[] = BODY(
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:UTCDateTime><tt:Time>"
        "<tt:Hour>1</tt:Hour><tt:Minute>46</tt:Minute><tt:Second>40</tt:Second></tt:Time><tt:Date>"
        "<tt:Year>2001</tt:Year><tt:Month>9</tt:Month><tt:Day>9</tt:Day></tt:Date></tt:UTCDateTime>"
        "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>");
    static const char MEDIA[] = BODY(
        "<tds:GetCapabilitiesResponse><tds:Capabilities><tt:Media><tt:XAddr>http://10.0.0.1/onvif/"
        "media</tt:XAddr></tt:Media></tds:Capabilities></tds:GetCapabilitiesResponse>");
    static const char INFORMATION[] = BODY(
        "<tds:GetDeviceInformationResponse><tds:Manufacturer>Acme</tds:Manufacturer><tds:Model>Eye "
        "\n2</tds:Model></tds:GetDeviceInformationResponse>");
    static const char URI[] = BODY(
        "<trt:GetStreamUriResponse><trt:MediaUri><tt:Uri>rtsp://10.0.0.1:8554/a?x=1&amp;y=2"
        "</tt:Uri></trt:MediaUri></trt:GetStreamUriResponse>");
    static const char DENIED[] = BODY(
        "<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>ter:NotAuthorized"
        "</s:Value></s:Subcode></s:Code></s:Fault>");
    static const char FAULT[] = BODY(
        "<s:Fault><s:Reason><s:Text>No such profile</s:Text></s:Reason></s:Fault>");
    struct onvif_information information;
    char                     text[LIMIT_URL_BYTES];
    int64_t                  unix_s = 0;

    is_int(onvif_read_time(TIME, strlen(TIME), &unix_s, &why), 0, "time");
    is_int((long)unix_s, 1000000000, "to the second");
    is_int(onvif_read_capabilities(MEDIA, strlen(MEDIA), text, &why), 0, "media service");
    is_text(text, "http://10.0.0.1/onvif/media", "its address");
    is_int(onvif_read_information(INFORMATION, strlen(INFORMATION), &information, &why), 0,
           "information");
    is_text(information.maker, "Acme", "maker");
    is_text(information.model, "Eye  2", "a model without line breaks");
    is_int(onvif_read_uri(URI, strlen(URI), text, &why), 0, "stream");
    is_text(text, "rtsp://10.0.0.1:8554/a?x=1&y=2", "its address");
    is_int(onvif_read_uri(DENIED, strlen(DENIED), text, &why), ERR_UNAUTHORIZED, "401 in SOAP");
    is_int(onvif_read_uri(FAULT, strlen(FAULT), text, &why), ERR_UNSUPPORTED, "a fault");
    is_text(why.text, "the camera answers: No such profile", "in its words");
    is_int(onvif_read_time(URI, strlen(URI), &unix_s, &why), ERR_CORRUPT, "another answer");
}

static void test_profiles(void)
{
    static const char TEXT[] = BODY(
        "<trt:GetProfilesResponse>"
        "<trt:Profiles token=\"main\"><tt:Name>Main</tt:Name><tt:VideoEncoderConfiguration>"
        "<tt:Encoding>H264</tt:Encoding><tt:Resolution><tt:Width>2560</tt:Width><tt:Height>1440"
        "</tt:Height></tt:Resolution><tt:RateControl><tt:FrameRateLimit>25</tt:FrameRateLimit>"
        "<tt:BitrateLimit>4096</tt:BitrateLimit></tt:RateControl></tt:VideoEncoderConfiguration>"
        "</trt:Profiles><trt:Profiles token=\"sub\"><tt:VideoEncoderConfiguration><tt:Encoding>"
        "H264</tt:Encoding><tt:Resolution><tt:Width>640</tt:Width><tt:Height>360</tt:Height>"
        "</tt:Resolution></tt:VideoEncoderConfiguration></trt:Profiles>"
        "<trt:Profiles token=\"tiny\"><tt:VideoEncoderConfiguration><tt:Encoding>JPEG</tt:Encoding>"
        "<tt:Resolution><tt:Width>320</tt:Width><tt:Height>999999</tt:Height></tt:Resolution>"
        "</tt:VideoEncoderConfiguration></trt:Profiles>"
        "<trt:Profiles token=\"sound\"><tt:Name>Sound</tt:Name></trt:Profiles>"
        "</trt:GetProfilesResponse>");
    struct onvif_profile profiles[ONVIF_PROFILES_MAX];
    int                  count = onvif_read_profiles(TEXT, strlen(TEXT), profiles, &why);

    is_int(count, 3, "three profiles with video");
    is_text(profiles[0].token, "main", "token");
    is_int(profiles[0].width, 2560, "width");
    is_int((long)profiles[0].fps, 25, "rate");
    is_int(profiles[2].height, 0, "an absurd height is none");
    is_int(onvif_main_profile(profiles, count), 0, "the largest is looked at");
    is_int(onvif_sub_profile(profiles, count, 512), 1, "the smallest that is large enough counts");
    is_int(onvif_sub_profile(profiles, count, 3000), 0, "or the largest");
}

static void is_placed(const char *address, const char *host, const char *expected)
{
    char out[LIMIT_URL_BYTES] = "";

    onvif_place_at(address, host, "rtsp rtsps", out, &why);
    is_text(out, expected, "%s", address);
}

static void test_places(void)
{
    is_placed("rtsp://10.0.0.1:8554/a?b=c", "192.0.2.9", "rtsp://192.0.2.9:8554/a?b=c");
    is_placed("rtsp://user:pa@ss@10.0.0.1/a@b", "192.0.2.9", "rtsp://192.0.2.9/a@b");
    is_placed("RTSPS://[fe80::1]:322/x", "cam.example", "RTSPS://cam.example:322/x");
    is_placed("rtsp://10.0.0.1", "fe80::9", "rtsp://[fe80::9]/");
    is_placed("http://10.0.0.1/", "192.0.2.9", "");
    is_placed("rtsp:/10.0.0.1/", "192.0.2.9", "");
    is_placed("rtsp://[fe80::1/x", "192.0.2.9", "");
}

static void test_bounds(void)
{
    static char      deep[XML_BYTES_MAX + 16];
    struct xml_tree *tree;

    for (size_t i = 0; i + 3 < 3000; i += 3)
        memcpy(deep + i, "<a>", 3);
    is_int(xml_tree_read(&tree, deep, 2997, &why), ERR_LIMIT, "deep nesting: %s", why.text);
    memset(deep, ' ', sizeof deep);
    is_int(xml_tree_read(&tree, deep, sizeof deep, &why), ERR_LIMIT, "a large document");
    memcpy(deep, "<r>", 3);
    for (size_t i = 3; i + 4 < XML_BYTES_MAX - 8; i += 4)
        memcpy(deep + i, "<a/>", 4);
    is_int(xml_tree_read(&tree, deep, XML_BYTES_MAX - 8, &why), ERR_LIMIT, "many elements");
    is_int(xml_tree_read(&tree, "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", 40, &why),
           ERR_CORRUPT, "entities of its own: %s", why.text);
    is_int(xml_tree_read(&tree, "", 0, &why), ERR_CORRUPT, "nothing at all");
    ok(tree == NULL, "and nothing comes out");
}

int main(void)
{
    test_probe();
    test_matches();
    test_requests();
    test_answers();
    test_profiles();
    test_places();
    test_bounds();
    return done_testing();
}
