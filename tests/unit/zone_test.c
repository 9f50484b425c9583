/* tests/unit/zone_test.c: entry and exit with inertia, at their true times.
 * links: count */
#include "server/count/zone.h"

#include "tests/tap.h"

#define WIDTH  1000
#define HEIGHT 1000

static uint64_t random_state = 7;

static double random_between(double low, double high)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return low + (high - low) * (double)(random_state >> 11) / 9007199254740992.0;
}

static struct zone make_zone(const double *xy, int points, int inertia)
{
    struct settings_zone settings = {.point_count = points, .inertia = inertia};
    struct zone          zone;

    for (int i = 0; i < points; i++) {
        settings.points[i].x = (float)(xy[2 * i] / WIDTH);
        settings.points[i].y = (float)(xy[2 * i + 1] / HEIGHT);
    }
    zone_init(&zone, &settings, WIDTH, HEIGHT);
    return zone;
}

struct visits {
    int     entries, exits;
    int64_t entry_ns, exit_ns;
};

static void step(const struct zone *zone, struct zone_state *state, double x, double y,
                 int64_t time_ns, struct visits *visits)
{
    switch (zone_step(zone, state, (struct point){x, y}, time_ns, 4)) {
    case ZONE_ENTERED:
        visits->entries++;
        visits->entry_ns = state->entry_ns;
        break;
    case ZONE_LEFT:
        visits->exits++;
        visits->exit_ns = state->change_ns;
        break;
    case ZONE_NOTHING:
        break;
    }
}

static const double square[] = {300, 300, 700, 300, 700, 700, 300, 700};

static void straight_through(void)
{
    struct zone       zone   = make_zone(square, 4, 3);
    struct zone_state state  = {0};
    struct visits     visits = {0};

    /* 100 px/s at 10 pictures a second from x = 205: in at 0.95 s, out at 4.95 s. */
    for (int i = 0; i < 80; i++)
        step(&zone, &state, 205 + 10 * i, 500, i * INT64_C(100000000), &visits);
    is_int(visits.entries, 1, "one entry");
    is_int(visits.exits, 1, "one exit");
    is_near((double)visits.entry_ns, 0.95e9, 1e4, "entered when it crossed the outline");
    is_near((double)visits.exit_ns, 4.95e9, 1e4, "left when it crossed it again");
}

static void inertia(void)
{
    struct zone       zone   = make_zone(square, 4, 3);
    struct zone_state state  = {0};
    struct visits     visits = {0};

    for (int i = 0; i < 50; i++)
        step(&zone, &state, i % 4 < 2 ? 290 : 305, 500, i * INT64_C(100000000), &visits);
    is_int(visits.entries, 0, "two pictures inside now and then are no entry");
    for (int i = 50; i < 60; i++)
        step(&zone, &state, 400, 500, i * INT64_C(100000000), &visits);
    is_int(visits.entries, 1, "staying inside is");
    for (int i = 60; i < 100; i++)
        step(&zone, &state, i % 4 < 2 ? 280 : 320, 500, i * INT64_C(100000000), &visits);
    is_int(visits.exits, 0, "two pictures outside now and then are no exit");
    for (int i = 100; i < 300; i++)
        step(&zone, &state, 297, 500, i * INT64_C(100000000), &visits);
    is_int(visits.exits, 0, "nor is standing on the edge");
    for (int i = 300; i < 310; i++)
        step(&zone, &state, 280, 500, i * INT64_C(100000000), &visits);
    is_int(visits.exits, 1, "going away is");
    ok(visits.exit_ns < INT64_C(10100000000), "and it left when it stepped onto the edge");
}

static void born_inside(void)
{
    struct zone       zone   = make_zone(square, 4, 3);
    struct zone_state state  = {0};
    struct visits     visits = {0};

    for (int i = 5; i < 10; i++)
        step(&zone, &state, 500, 500, i * INT64_C(100000000), &visits);
    is_int(visits.entries, 1, "who is first seen inside has entered");
    is_int(visits.entry_ns, 500000000, "when first seen");
    ok(state.born_inside, "and is known as such");
}

static void to_the_border(void)
{
    static const double half[] = {300, 0, 600, 0, 600, 999, 300, 999};
    struct zone         zone   = make_zone(half, 4, 1);
    struct zone_state   state  = {0};
    struct visits       visits = {0};

    step(&zone, &state, 100, 1004, 0, &visits);
    step(&zone, &state, 400, 1004, 1000, &visits);
    is_int(visits.entries, 1, "feet below the picture are inside a zone drawn to its border");
    step(&zone, &state, 400, -8, 2000, &visits);
    is_int(visits.exits, 0, "and so are points above it");
}

/* Random polygons around a centre, random straight ways: visits longer than the inertia count once
 * each, with the exact times; jitter and lost pictures add none. */
static void random_ways(bool perfect)
{
    int wrong = 0, late = 0, visited = 0;

    for (int n = 0; n < 3000; n++) {
        double            xy[24];
        int               corners = (int)random_between(3, 13), inside = 0, cuts = 0;
        struct zone       zone;
        struct zone_state state  = {0};
        struct visits     visits = {0};
        double            angle = random_between(0, 6.3), off = random_between(-150, 150), at;
        double            speed = random_between(2, 12), fps = random_between(5, 30), entry_ns = 0;
        struct point      middle = {500 - sin(angle) * off, 500 + cos(angle) * off};
        struct point      from   = {middle.x - cos(angle) * 450, middle.y - sin(angle) * 450};
        struct point      to     = {middle.x + cos(angle) * 450, middle.y + sin(angle) * 450};
        int               steps  = (int)(900 / speed);

        for (int i = 0; i < corners; i++) {
            double turn   = 6.283185 * i / corners;
            double radius = random_between(200, 300);
            xy[2 * i]     = 500 + cos(turn) * radius;
            xy[2 * i + 1] = 500 + sin(turn) * radius;
        }
        zone = make_zone(xy, corners, 3);
        for (int i = 0, j = corners - 1; i < corners; j = i++)
            if (geometry_cross(from, to, zone.points[j], zone.points[i], &at) != 0) {
                cuts++;
                if (cuts == 1 || at * 1e9 * steps / fps < entry_ns)
                    entry_ns = at * 1e9 * steps / fps;
            }
        for (int i = 0; i <= steps; i++) {
            struct point p = geometry_between(from, to, (double)i / steps);
            inside += geometry_inside(zone.points, corners, p);
            if (!perfect && random_between(0, 1) < 0.2)
                continue;
            if (!perfect) {
                p.x += random_between(-2, 2);
                p.y += random_between(-2, 2);
            }
            step(&zone, &state, p.x, p.y, (int64_t)(i * 1e9 / fps), &visits);
        }
        if (cuts != 2 || inside < 15) /* touches it, or passes a notch: not one visit for sure */
            continue;
        visited++;
        wrong += visits.entries != 1 || visits.exits != 1;
        late += fabs((double)visits.entry_ns - entry_ns) > (perfect ? 2e5 : 15e9 / fps);
    }
    ok(visited > 1500, "%d visits", visited);
    is_int(wrong, 0, "%s ways: one entry and one exit each", perfect ? "perfect" : "jittering");
    is_int(late, 0, "at their true times");
}

int main(void)
{
    straight_through();
    inertia();
    born_inside();
    to_the_border();
    random_ways(true);
    random_ways(false);
    return done_testing();
}
