/* Suppression: groups of classes, the bound on candidates, a fixed order, and what is no box.
 * links: gpu */
#include "gpu/suppress.h"

#include "tests/tap.h"

static struct candidates candidates;

static void begin(void)
{
    candidates.count       = 0;
    candidates.min_score   = 0.1F;
    candidates.x0          = 0.0F;
    candidates.y0          = 0.0F;
    candidates.x1          = 416.0F;
    candidates.y1          = 416.0F;
    candidates.side_px_max = 832.0F;
}

static void add(float x0, float y0, float x1, float y1, float score, enum object_class object_class,
                int number)
{
    struct box box = {x0, y0, x1, y1, score, object_class};

    candidates_add(&candidates, &box, number);
}

static void check_groups(void)
{
    struct box boxes[8];

    begin();
    add(10, 10, 110, 60, 0.6F, OBJECT_TRUCK, 1);
    add(11, 10, 111, 60, 0.7F, OBJECT_CAR, 2);
    add(12, 10, 112, 60, 0.5F, OBJECT_PERSON, 3);
    add(12, 30, 112, 80, 0.4F, OBJECT_BICYCLE, 4);
    add(12, 30, 112, 82, 0.3F, OBJECT_MOTORCYCLE, 5);
    add(200, 10, 300, 60, 0.2F, OBJECT_BUS, 6);
    is_int(suppress(&candidates, 0.65F, boxes, 8), 4, "a pickup, a rider, a two-wheeler and a bus");
    is_int(boxes[0].object_class, OBJECT_CAR, "the pickup is what it is more likely to be");
    is_int(boxes[1].object_class, OBJECT_PERSON, "a person on a car is a person");
    is_int(boxes[2].object_class, OBJECT_BICYCLE, "bicycle and motorcycle are one");
    is_int(boxes[3].object_class, OBJECT_BUS, "and what lies apart stays");
    is_int(candidates.count, 0, "nothing is left for the next picture");
    begin();
    add(100, 100, 140, 200, 0.6F, OBJECT_PERSON, 1);
    add(102, 100, 142, 200, 0.5F, OBJECT_BICYCLE, 2);
    is_int(suppress(&candidates, 0.65F, boxes, 8), 1, "a walker is not a bicycle too");
    is_int(boxes[0].object_class, OBJECT_PERSON, "but what he is more likely to be");
}

static void check_overlap(void)
{
    struct box boxes[8];

    begin(); /* two people side by side: half of each box is shared, a third of both */
    add(100, 100, 140, 200, 0.9F, OBJECT_PERSON, 1);
    add(120, 100, 160, 200, 0.8F, OBJECT_PERSON, 2);
    is_int(suppress(&candidates, 0.65F, boxes, 8), 2, "two people side by side stay two");
    begin();
    add(100, 100, 140, 200, 0.9F, OBJECT_PERSON, 1);
    add(104, 100, 144, 200, 0.8F, OBJECT_PERSON, 2);
    is_int(suppress(&candidates, 0.65F, boxes, 8), 1, "one person found twice is one");
    begin();
    for (int i = 0; i < 5; i++)
        add(100.0F * (float)i, 0, 100.0F * (float)i + 50.0F, 50, 0.5F, OBJECT_CAR, i);
    is_int(suppress(&candidates, 0.65F, boxes, 3), 3, "no more than asked for");
}

static void check_refused(void)
{
    static const float bad[][5] = {
        {NAN, 0, 10, 10, 0.5F},       {0, NAN, 10, 10, 0.5F},   {0, 0, NAN, 10, 0.5F},
        {0, 0, 10, NAN, 0.5F},        {0, 0, 10, 10, NAN},      {0, 0, INFINITY, 10, 0.5F},
        {-INFINITY, 0, 10, 10, 0.5F}, {0, 0, 10, 10, INFINITY}, {0, 0, 10, 10, 1.5F},
        {0, 0, 10, 10, 0.09F},        {10, 0, 10, 10, 0.5F},    {20, 0, 10, 10, 0.5F},
        {0, 0, 1e30F, 10, 0.5F},      {-900, 0, 10, 10, 0.5F},  {420, 0, 430, 10, 0.5F},
        {0, -20, 10, -5, 0.5F},
    };

    begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        add(bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4], OBJECT_CAR, (int)i);
    is_int(candidates.count, 0, "what is no box, or lies outside, is not taken");
    add(0, 0, 10, 10, 0.5F, (enum object_class)17, 0);
    is_int(candidates.count, 0, "nor what is of no class");
    add(-5, -5, 10, 10, 1.0005F, OBJECT_CAR, 0);
    is_int(candidates.count, 1, "a box may reach past the edge");
    is_near(candidates.item[0].box.score, 1.0, 0, "and rounding above 1 is 1");
}

/* Scores 0.1..0.9 in a scrambled order with many ties: the best CANDIDATES_MAX must be kept, and of
 * equal ones those with the lower number, whatever the order in which they came. */
static void check_bound(void)
{
    enum { ADDED = 5000, CELLS = 50 };
    static struct box first[CANDIDATES_MAX], second[CANDIDATES_MAX];
    int               counts[2], wrong = 0;

    for (int run = 0; run < 2; run++) {
        begin();
        for (int i = 0; i < ADDED; i++) {
            int   number = run == 0 ? i : ADDED - 1 - i;
            int   level  = number * 7919 % 800;
            float x      = (float)(number % CELLS) * 8.0F;
            float y      = (float)(number / CELLS) * 4.0F;

            add(x, y, x + 8.0F, y + 4.0F, 0.1F + (float)level / 1000.0F, OBJECT_CAR, number);
        }
        is_int(candidates.count, CANDIDATES_MAX, "only the best are kept");
        counts[run] = suppress(&candidates, 0.65F, run == 0 ? first : second, CANDIDATES_MAX);
    }
    is_int(counts[0], CANDIDATES_MAX, "none overlaps, so all come out");
    ok(counts[0] == counts[1] && memcmp(first, second, sizeof first) == 0,
       "the same boxes in the same order, whichever came first");
    for (int i = 1; i < counts[0]; i++)
        wrong += first[i].score > first[i - 1].score;
    is_int(wrong, 0, "best first");
    /* 5000 boxes over 800 levels: 6.25 of each, so the least kept is the 164th level from the top. */
    is_near(first[counts[0] - 1].score, 0.1 + (800 - 164) / 1000.0, 0.002, "and they are the best");
}

int main(void)
{
    check_groups();
    check_overlap();
    check_refused();
    check_bound();
    return done_testing();
}
