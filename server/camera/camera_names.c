#include "server/camera/camera_names.h"

const char *camera_state_name(enum camera_state state)
{
    static const char *const NAMES[] = {"idle",    "connecting", "streaming",
                                        "stalled", "backoff",    "ended"};

    return (unsigned)state < sizeof NAMES / sizeof NAMES[0] ? NAMES[state] : "unknown";
}

const char *camera_decoder_name(enum camera_decoder decoder)
{
    static const char *const NAMES[] = {"", "process", "thread", "cuda"};

    return (unsigned)decoder < sizeof NAMES / sizeof NAMES[0] ? NAMES[decoder] : "unknown";
}

const char *camera_loss_name(enum camera_loss loss)
{
    static const char *const NAMES[] = {"closed",  "error",      "refused", "unreachable",
                                        "timeout", "no_picture", "stalled"};

    return (unsigned)loss < CAMERA_LOSSES ? NAMES[loss] : "unknown";
}

enum camera_loss camera_loss_of(enum source_end end)
{
    switch (end) {
    case SOURCE_END_OF_FILE:
    case SOURCE_END_CLOSED:
        return CAMERA_LOSS_CLOSED;
    case SOURCE_END_REFUSED:
        return CAMERA_LOSS_REFUSED;
    case SOURCE_END_UNREACHABLE:
        return CAMERA_LOSS_UNREACHABLE;
    case SOURCE_END_TIMEOUT:
        return CAMERA_LOSS_TIMEOUT;
    default:
        return CAMERA_LOSS_ERROR;
    }
}
