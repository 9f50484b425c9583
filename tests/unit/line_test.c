/* tests/unit/line_test.c: the rule of a line, by example and by thousands of random ways.
 * links: count */
#include "server/count/line.h"

#include "tests/tap.h"

#define WIDTH  1280
#define HEIGHT 720

static uint64_t random_state = 1;

static double random_between(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

static struct line make_line(const double *xy, int points)
{
    struct settings_line settings = {.point_count = points};
    struct line          line;

    for (int i = 0; i < points; i++) {
        settings.points[i].x = (float)(xy[2 * i] / WIDTH);
        settings.points[i].y = (float)(xy[2 * i + 1] / HEIGHT);
    }
    line_init(&line, &settings, WIDTH, HEIGHT);
    return line;
}

/* What a walk counted. */
struct tally {
    int     a_to_b, b_to_a;
    int64_t last_ns;
};

struct walk {
    const struct line *line;
    struct line_state  state;
    int64_t            time_ns, step_ns;
    double             band_px;
    struct tally       tally;
};

static struct walk walk_begin(const struct line *line, double band_px, double fps)
{
    return (struct walk){.line = line, .band_px = band_px, .step_ns = (int64_t)(1e9 / fps)};
}

static void walk_to(struct walk *walk, double x, double y)
{
    struct line_crossing crossings[LINE_STEP_CROSSINGS];
    int count = line_step(walk->line, &walk->state, (struct point){x, y}, walk->time_ns,
                          walk->band_px, crossings);

    for (int i = 0; i < count; i++) {
        walk->tally.a_to_b += crossings[i].direction == DIRECTION_A_TO_B;
        walk->tally.b_to_a += crossings[i].direction == DIRECTION_B_TO_A;
        walk->tally.last_ns = crossings[i].time_ns;
    }
    walk->time_ns += walk->step_ns;
}

static void walk_end(struct walk *walk)
{
    struct line_crossing crossing;

    if (line_end(walk->line, &walk->state, &crossing)) {
        walk->tally.a_to_b += crossing.direction == DIRECTION_A_TO_B;
        walk->tally.b_to_a += crossing.direction == DIRECTION_B_TO_A;
        walk->tally.last_ns = crossing.time_ns;
    }
}

static void expect(struct walk *walk, int a_to_b, int b_to_a, const char *what)
{
    is_int(walk->tally.a_to_b, a_to_b, "%s: A to B", what);
    is_int(walk->tally.b_to_a, b_to_a, "%s: B to A", what);
}

/* Up the middle of the picture: A is x < 640. */
static const double upright[] = {640, 600, 640, 100};

static void by_example(void)
{
    struct line line = make_line(upright, 2);
    struct walk walk = walk_begin(&line, 5, 10);

    walk_to(&walk, 600, 300), walk_to(&walk, 680, 300);
    expect(&walk, 1, 0, "left to right of an upright line drawn upwards");
    is_near((double)walk.tally.last_ns, 5e7, 2e3, "at the moment of the crossing");
    walk_to(&walk, 600, 300);
    expect(&walk, 1, 1, "and back");

    walk = walk_begin(&line, 5, 10);
    for (int i = 0; i < 200; i++)
        walk_to(&walk, i < 30 ? 600 + i * 1.3 : 639 + (i % 3), 300);
    walk_end(&walk);
    expect(&walk, 0, 0, "stops on the line and stays");
    for (int i = 0; i < 30; i++)
        walk_to(&walk, 640 - i, 300);
    expect(&walk, 0, 0, "and turns back");

    walk = walk_begin(&line, 5, 10);
    for (int i = 0; i < 400; i++)
        walk_to(&walk, 630 + i * 0.05 + ((i & 1) != 0 ? 4 : -4), 300);
    expect(&walk, 1, 0, "crawls over the line with jitter");

    walk = walk_begin(&line, 5, 10);
    walk_to(&walk, 100, 300), walk_to(&walk, 1200, 310);
    expect(&walk, 1, 0, "jumps over the line from far to far");

    walk = walk_begin(&line, 5, 10);
    walk_to(&walk, 600, 300), walk_to(&walk, 620, 90), walk_to(&walk, 660, 85),
        walk_to(&walk, 700, 300);
    walk_end(&walk);
    expect(&walk, 0, 0, "walks around the upper end");
    walk_to(&walk, 600, 300);
    expect(&walk, 0, 1, "and back through the line");

    walk = walk_begin(&line, 20, 10);
    walk_to(&walk, 600, 110), walk_to(&walk, 630, 110), walk_to(&walk, 650, 105);
    walk_to(&walk, 645, 90), walk_to(&walk, 630, 95), walk_to(&walk, 600, 110);
    walk_end(&walk);
    expect(&walk, 0, 0, "cuts the line and slips back around its end within the band");
}

static void ends_of_life(void)
{
    struct line line = make_line(upright, 2);
    struct walk walk = walk_begin(&line, 10, 10);

    walk_to(&walk, 600, 300), walk_to(&walk, 625, 300), walk_to(&walk, 645, 300);
    walk_end(&walk);
    expect(&walk, 1, 0, "lost clearly past the line, on its way");
    is_near((double)walk.tally.last_ns, 1.75e8, 2e3, "with the crossing's own time");

    walk = walk_begin(&line, 10, 10);
    walk_to(&walk, 600, 300), walk_to(&walk, 625, 300), walk_to(&walk, 641, 300);
    walk_end(&walk);
    expect(&walk, 0, 0, "lost on the line itself");

    walk = walk_begin(&line, 10, 10);
    walk_to(&walk, 600, 300), walk_to(&walk, 648, 300), walk_to(&walk, 644, 300);
    walk_end(&walk);
    expect(&walk, 0, 0, "lost past the line while it came back");

    walk = walk_begin(&line, 10, 10);
    walk_to(&walk, 600, 300), walk_to(&walk, 644, 300), walk_to(&walk, 636, 300),
        walk_to(&walk, 645, 300);
    walk_end(&walk);
    expect(&walk, 0, 0, "lost past the line after going to and fro");

    walk = walk_begin(&line, 10, 10);
    walk_to(&walk, 635, 300), walk_to(&walk, 645, 300), walk_to(&walk, 700, 300);
    walk_end(&walk);
    expect(&walk, 0, 0, "first seen on the line");
    walk_to(&walk, 600, 300);
    expect(&walk, 0, 1, "but from then on counted");
}

/* Is the point on side A, above a line that only ever goes to the right? */
static bool above(const double *xy, int points, double x, double y)
{
    for (int i = 0; i + 1 < points; i++)
        if (x >= xy[2 * i] && x < xy[2 * i + 2])
            return y < xy[2 * i + 1] + (xy[2 * i + 3] - xy[2 * i + 1]) * (x - xy[2 * i]) /
                                           (xy[2 * i + 2] - xy[2 * i]);
    return false;
}

static void corners(void)
{
    /* The ways lead exactly through the corners of a right angle, a gentle and a sharp one. */
    static const double bent[] = {200, 500, 400, 300, 600, 300, 800, 400, 850, 200};
    struct line         line   = make_line(bent, 5);
    int                 wrong = 0, ways = 0;

    for (int corner = 1; corner <= 3; corner++)
        for (int degree = 0; degree < 360; degree++)
            for (int halt = 0; halt < 2; halt++) {
                double      angle = degree * 3.14159265358979 / 180.0;
                double      x = bent[2 * corner], y = bent[2 * corner + 1];
                double      dx = cos(angle) * 60, dy = sin(angle) * 60, along;
                struct walk walk = walk_begin(&line, 4, 10);
                bool from_a = above(bent, 5, x - dx, y - dy), to_a = above(bent, 5, x + dx, y + dy);
                double clear_px = INFINITY;

                for (int i = 0; i < 4; i++)
                    for (int end = -1; end <= 1; end += 2)
                        clear_px = fmin(clear_px, geometry_distance(
                                                      (struct point){x + end * dx, y + end * dy},
                                                      line.points[i], line.points[i + 1], &along));
                if (clear_px < 5)
                    continue; /* along a piece, not through the corner */
                walk_to(&walk, x - dx, y - dy);
                if (halt != 0)
                    walk_to(&walk, x, y);
                walk_to(&walk, x + dx, y + dy);
                ways++;
                wrong += walk.tally.a_to_b - walk.tally.b_to_a != (int)from_a - (int)to_a ||
                         walk.tally.a_to_b + walk.tally.b_to_a != (from_a != to_a);
            }
    ok(ways > 1500, "%d ways through corners", ways);
    is_int(wrong, 0,
           "each counts exactly once or not at all, with or without a halt on the corner");
}

static void folded(void)
{
    static const double narrow[] = {400, 600, 400, 200, 460, 200, 460, 600};
    struct line         line     = make_line(narrow, 4);
    struct walk         walk     = walk_begin(&line, 5, 10);

    walk_to(&walk, 300, 400), walk_to(&walk, 600, 400);
    expect(&walk, 1, 1, "one step over both arms of a fold");
}

static void borders(void)
{
    static const double to_the_border[] = {640, 0, 640, 719};
    struct line         line            = make_line(to_the_border, 2);
    struct walk         walk            = walk_begin(&line, 5, 10);

    walk_to(&walk, 600, 725), walk_to(&walk, 700, 725);
    expect(&walk, 0, 1, "a box that reaches past the picture crosses a line drawn to its border");

    static const double along_the_border[] = {400, 715, 800, 715};
    line                                   = make_line(along_the_border, 2);
    walk                                   = walk_begin(&line, 5, 10);
    walk_to(&walk, 900, 600), walk_to(&walk, 900, 730);
    expect(&walk, 0, 0, "a line along the border is not drawn on");

    is_near(line_band_px(100, 100, 720), 6, 1e-6, "the band is 6 %% of the object");
    is_near(line_band_px(4, 9, 720), 2.88, 1e-6, "but no less than 0.4 %% of the picture");
    is_near(line_band_px(900, 700, 720), 21.6, 1e-6, "and no more than 3 %%");
}

/* A random line of 2 to 5 points that turns by no more than a right angle at each and keeps away
 * from itself, as lines do that people draw. */
static struct line random_line(void)
{
    for (;;) {
        double      xy[10], heading = random_between(0, 6.3), along, least = INFINITY;
        int         points = (int)random_between(2, 6);
        struct line line;
        bool        fits = true;

        xy[0] = random_between(100, 1180);
        xy[1] = random_between(100, 620);
        for (int i = 1; i < points; i++) {
            double length = random_between(120, 350);
            xy[2 * i]     = xy[2 * i - 2] + cos(heading) * length;
            xy[2 * i + 1] = xy[2 * i - 1] + sin(heading) * length;
            heading += random_between(-1.57, 1.57);
            fits = fits && xy[2 * i] > 30 && xy[2 * i] < 1250 && xy[2 * i + 1] > 30 &&
                   xy[2 * i + 1] < 690;
        }
        if (!fits)
            continue;
        line = make_line(xy, points);
        for (int i = 0; i + 1 < points; i++)
            for (int k = 0; k < points; k++)
                if (k != i && k != i + 1)
                    least = fmin(least, geometry_distance(line.points[k], line.points[i],
                                                          line.points[i + 1], &along));
        if (least > 80)
            return line;
    }
}

/* One leg of a random walk: far enough from the line at both ends, not near the line's ends. */
static bool leg_is_clear(const struct line *line, struct point from, struct point to,
                         double keep_px)
{
    double along;

    for (int i = 0; i + 1 < line->point_count; i++)
        if (geometry_distance(to, line->points[i], line->points[i + 1], &along) < keep_px)
            return false;
    return geometry_distance(line->points[0], from, to, &along) > keep_px &&
           geometry_distance(line->points[line->point_count - 1], from, to, &along) > keep_px;
}

static void walk_leg(struct walk *walk, struct point from, struct point to, double step_px,
                     double jitter_px)
{
    double length = hypot(to.x - from.x, to.y - from.y);
    int    steps  = (int)(length / step_px) + 1;

    for (int i = 1; i <= steps; i++) {
        struct point p = geometry_between(from, to, (double)i / steps);
        /* A stop of a few pictures somewhere, and pictures without a detection. */
        int stay = random_between(0, 1) < 0.03 ? (int)random_between(1, 25) : 1;
        for (int k = 0; k < stay; k++) {
            if (i < steps && random_between(0, 1) < 0.15) {
                walk->time_ns += walk->step_ns;
                continue;
            }
            walk_to(walk, p.x + random_between(-jitter_px, jitter_px),
                    p.y + random_between(-jitter_px, jitter_px));
        }
    }
}

/* Random lines of any slope and 2 to 5 points, random walks of 6 legs at many speeds and rates,
 * with jitter below the band, stops and flicker: every leg counts exactly as often as it cuts the
 * line, in order and direction. */
static void random_walks(int walks, bool perfect)
{
    int wrong = 0, legs = 0, crossings = 0;

    for (int n = 0; n < walks; n++) {
        double              size = random_between(12, 200), band = line_band_px(size, size, HEIGHT);
        double              jitter = perfect ? 0 : band * 0.45, step = random_between(0.5, 300);
        static const double rates[] = {5, 8, 10, 15, 25, 30};
        struct line         line    = random_line();
        struct walk         walk;
        struct point        at = {random_between(50, 1230), random_between(50, 670)};

        walk = walk_begin(&line, band, rates[(int)random_between(0, 6)]);
        if (!leg_is_clear(&line, at, at, 2.5 * band))
            continue;
        walk_to(&walk, at.x, at.y);
        for (int leg = 0; leg < 6; leg++) {
            struct point to  = {random_between(50, 1230), random_between(50, 670)};
            int          sum = 0, cuts = 0;
            struct tally before = walk.tally;
            double       where;

            if (!leg_is_clear(&line, at, to, 2.5 * band))
                continue;
            for (int i = 0; i + 1 < line.point_count; i++) {
                int sign = geometry_cross(at, to, line.points[i], line.points[i + 1], &where);
                sum += sign;
                cuts += sign != 0;
            }
            walk_leg(&walk, at, to, step, jitter);
            at = to;
            legs++;
            crossings += cuts;
            /* Two cuts close to a corner may be one hop over its tip: only their sum is sure. */
            wrong += walk.tally.a_to_b - before.a_to_b - (walk.tally.b_to_a - before.b_to_a) != sum;
            if (cuts <= 1)
                wrong += walk.tally.a_to_b + walk.tally.b_to_a - before.a_to_b - before.b_to_a !=
                         cuts;
        }
    }
    ok(legs > walks, "%d legs walked, %d cuts", legs, crossings);
    is_int(wrong, 0, "%s walks over random lines: not one error",
           perfect ? "perfect" : "jittering");
}

/* The slope of the line changes nothing: the same line and walk, turned by any angle. */
static void slopes(void)
{
    int wrong = 0;

    for (int degree = 0; degree < 360; degree++) {
        double angle = degree * 3.14159265358979 / 180.0, c = cos(angle), s = sin(angle);
        /* The line runs along (c, s); its left hand is at (s, -c). */
        double      xy[4] = {640 - 200 * c, 360 - 200 * s, 640 + 200 * c, 360 + 200 * s};
        struct line line  = make_line(xy, 2);

        for (int speed = 1; speed <= 128; speed *= 2) {
            struct walk walk = walk_begin(&line, 6, 10);
            for (double t = 150; t >= -150; t -= speed)
                walk_to(&walk, 640 + 50 * c + t * s, 360 + 50 * s - t * c);
            walk_end(&walk);
            wrong += walk.tally.a_to_b != 1 || walk.tally.b_to_a != 0;
        }
    }
    is_int(wrong, 0, "a line of any slope gives the same answer at any speed");
}

int main(void)
{
    by_example();
    ends_of_life();
    corners();
    folded();
    borders();
    slopes();
    random_walks(4000, true);
    random_walks(4000, false);
    return done_testing();
}
