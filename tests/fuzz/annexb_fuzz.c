// links: camera
// Any bytes as an access unit: what is found lies inside it, and a name is made of any SPS or
// refused.
#include "config/assert.h"
#include "config/limits.h"
#include "server/camera/decode_annexb.h"
#include "server/camera/decode_sps.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    for (int hevc = 0; hevc < 2; hevc++) {
        struct annexb_nal nal;
        size_t            at     = 0;
        size_t            before = 0;
        char              codec[32];
        int               width_px, height_px;

        while (annexb_next(data, bytes, hevc != 0, &at, &nal)) {
            ASSERT(at > before && at <= bytes);
            ASSERT(nal.bytes > 0 && nal.data > data && nal.data + nal.bytes <= data + at);
            before = at;
            if (annexb_codec(&nal, hevc != 0, codec))
                ASSERT(memchr(codec, '\0', sizeof codec) != NULL);
            if (decode_sps_size(&nal, hevc != 0, &width_px, &height_px))
                ASSERT(width_px > 0 && width_px <= LIMIT_PICTURE_PX && height_px > 0 &&
                       height_px <= LIMIT_PICTURE_PX);
        }
    }
    (void)annexb_is(data, bytes);
    return 0;
}
