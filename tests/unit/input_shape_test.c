/* Which size of input is chosen for a picture: held against all that there are.
 * links: gpu */
#include "gpu/input_shape.h"

#include "tests/tap.h"

static double scale_in(struct input_shape shape, int width_px, int height_px)
{
    return fmin((double)shape.width_px / width_px, (double)shape.height_px / height_px);
}

/* The best of all multiples of 32 that may be chosen, one after the other. */
static double best_scale(struct input_shape own, int width_px, int height_px)
{
    double best     = scale_in(own, width_px, height_px);
    int    least_px = (own.width_px < own.height_px ? own.width_px : own.height_px) / 2;

    for (int w = 32; w <= 4096; w += 32)
        for (int h = 32; h <= 4096; h += 32)
            if (w >= least_px && h >= least_px && (int64_t)w * h <= input_shape_area_max(own))
                best = fmax(best, scale_in((struct input_shape){w, h}, width_px, height_px));
    return best;
}

static uint32_t random_state = 1;

static int random_in(int low, int high)
{
    random_state = random_state * 1664525U + 1013904223U;
    return low + (int)((uint64_t)(random_state >> 8) * (uint64_t)(high - low + 1) >> 24);
}

static void check_choice_of_any(void)
{
    int wrong_size = 0, too_large = 0, smaller = 0, not_best = 0, unlike = 0, rounds = 300;

    for (int i = 0; i < rounds; i++) {
        struct input_shape own = {random_in(1, 20) * 32, random_in(1, 20) * 32};
        int                w = random_in(1, 4000), h = random_in(1, 4000);
        struct input_shape shape = input_shape_for(own, w, h), again = input_shape_for(own, w, h);
        bool   is_own = shape.width_px == own.width_px && shape.height_px == own.height_px;
        double scale = scale_in(shape, w, h), best = best_scale(own, w, h);

        wrong_size += shape.width_px % 32 != 0 || shape.height_px % 32 != 0 ||
                      shape.width_px < 32 || shape.height_px < 32;
        too_large += (int64_t)shape.width_px * shape.height_px > input_shape_area_max(own);
        smaller += scale < scale_in(own, w, h) * (1 - 1e-9);
        not_best += scale <
                    best * (is_own ? 100.0 / (100 + INPUT_SHAPE_GAIN_PERCENT) : 1) * (1 - 1e-9);
        unlike += shape.width_px != again.width_px || shape.height_px != again.height_px;
    }
    is_int(wrong_size, 0, "%d pictures: every side a multiple of 32", rounds);
    is_int(too_large, 0, "none much larger than the network's own");
    is_int(smaller, 0, "no picture is smaller than in that");
    is_int(not_best, 0, "nor than in any other");
    is_int(unlike, 0, "the same each time");
}

static void check_choice(void)
{
    static const struct {
        int                width_px, height_px;
        struct input_shape wanted;
    } CASES[] = {
        {1920, 1080, {512, 288}}, {1920, 1088, {512, 288}}, {512, 288, {512, 288}},
        {640, 480, {448, 320}},   {1000, 1000, {384, 384}}, {1080, 1920, {288, 512}},
        {1, 1, {384, 384}},       {8192, 1, {928, 160}},    {1, 8192, {160, 928}},
    };
    const struct input_shape own = {512, 288}, odd = {300, 300};
    struct input_shape       shapes[] = {own, {448, 320}, {384, 384}};
    int                      larger   = 0;

    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct input_shape shape = input_shape_for(own, CASES[i].width_px, CASES[i].height_px);

        ok(shape.width_px == CASES[i].wanted.width_px &&
               shape.height_px == CASES[i].wanted.height_px,
           "%dx%d goes through %dx%d", CASES[i].width_px, CASES[i].height_px, shape.width_px,
           shape.height_px);
    }
    for (int side = 32; side <= 2048; side += 32) {
        struct input_shape square = {side, side}, shape = input_shape_for(square, 1000, 1000);

        larger += shape.width_px != side || shape.height_px != side;
    }
    is_int(larger, 0, "square pictures go through a square network's own size, whichever it is");
    ok(input_shape_for(odd, 500, 500).width_px == 300, "an own size that is no multiple stays");
    is_int(input_shape_nearest(shapes, 3, 1600, 900), 0, "the nearest of three for 16:9");
    is_int(input_shape_nearest(shapes, 3, 400, 300), 1, "for 4:3");
    is_int(input_shape_nearest(shapes, 3, 300, 900), 2, "for a high picture");
}

int main(void)
{
    check_choice_of_any();
    check_choice();
    return done_testing();
}
