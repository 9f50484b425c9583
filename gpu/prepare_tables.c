/* What depends only on the kind of a picture: its place in the tensor, the filters, the colours. */
#include "gpu/prepare_kernels.h"

#include "config/assert.h"
#include "config/err.h"
#include "config/limits.h"

static struct prepare_area area_of(const struct prepare_settings *settings, int width_px,
                                   int height_px);
static void                set_colours(struct prepare_tables *tables);
static int open_filters(struct prepare_tables *tables, const struct prepare_kernels *kernels);

int prepare_tables_open(struct prepare_tables *tables, const struct prepare_settings *settings,
                        const struct frame *frame, const struct prepare_kernels *kernels,
                        struct why *why)
{
    ASSERT(settings->width_px >= 1 && settings->width_px <= LIMIT_PICTURE_PX);
    ASSERT(settings->height_px >= 1 && settings->height_px <= LIMIT_PICTURE_PX);
    *tables = (struct prepare_tables){0};
    if (frame->width_px < 1 || frame->width_px > LIMIT_PICTURE_PX || frame->height_px < 1 ||
        frame->height_px > LIMIT_PICTURE_PX || (unsigned)frame->format > FRAME_RGB24)
        return why_set(why, ERR_INVALID, "a picture of %dx%d in format %d cannot be analysed",
                       frame->width_px, frame->height_px, (int)frame->format);
    *tables = (struct prepare_tables){
        .settings   = *settings,
        .format     = frame->format,
        .matrix     = frame->matrix,
        .full_range = frame->full_range,
        .width_px   = frame->width_px,
        .height_px  = frame->height_px,
        .area       = area_of(settings, frame->width_px, frame->height_px),
    };
    set_colours(tables);
    if (open_filters(tables, kernels) != 0) {
        prepare_tables_close(tables);
        return why_set(why, ERR_MEMORY, "no memory to prepare pictures of %dx%d", frame->width_px,
                       frame->height_px);
    }
    return 0;
}

void prepare_tables_close(struct prepare_tables *tables)
{
    for (int i = 0; i < 2; i++) {
        row_filter_close(&tables->row[i]);
        column_filter_close(&tables->column[i]);
    }
}

bool prepare_tables_fit(const struct prepare_tables *tables, const struct frame *frame)
{
    return tables->width_px == frame->width_px && tables->height_px == frame->height_px &&
           tables->format == frame->format && tables->matrix == frame->matrix &&
           tables->full_range == frame->full_range;
}

void prepare_box_to_picture(const struct prepare_area *area, struct box *box)
{
    float x_scale = (float)area->picture_width_px / (float)area->width_px;
    float y_scale = (float)area->picture_height_px / (float)area->height_px;

    box->x0 = (box->x0 - (float)area->x_px) * x_scale;
    box->x1 = (box->x1 - (float)area->x_px) * x_scale;
    box->y0 = (box->y0 - (float)area->y_px) * y_scale;
    box->y1 = (box->y1 - (float)area->y_px) * y_scale;
}

static struct prepare_area area_of(const struct prepare_settings *settings, int width_px,
                                   int height_px)
{
    struct prepare_area area    = {.width_px          = settings->width_px,
                                   .height_px         = settings->height_px,
                                   .picture_width_px  = width_px,
                                   .picture_height_px = height_px};
    double              x_ratio = (double)settings->width_px / width_px;
    double              y_ratio = (double)settings->height_px / height_px;
    double              ratio   = x_ratio < y_ratio ? x_ratio : y_ratio;

    if (settings->fit == PREPARE_STRETCH)
        return area;
    /* Whole pixels, rounded down, as the networks' own training does; the addend is for products
     * such as 1080 * (416 / 1080.0). */
    area.width_px  = (int)(width_px * ratio + 1e-6);
    area.height_px = (int)(height_px * ratio + 1e-6);
    area.width_px  = area.width_px > 0 ? area.width_px : 1;
    area.height_px = area.height_px > 0 ? area.height_px : 1;
    if (settings->fit == PREPARE_CENTRED) {
        area.x_px = (settings->width_px - area.width_px) / 2;
        area.y_px = (settings->height_px - area.height_px) / 2;
    }
    return area;
}

/* R, G, B from components that are 128 below their 8-bit values. */
static void yuv_to_rgb(const struct prepare_tables *tables, double rgb[3][3], double *offset)
{
    double red    = tables->matrix == FRAME_BT709 ? 0.2126 : 0.299;
    double blue   = tables->matrix == FRAME_BT709 ? 0.0722 : 0.114;
    double green  = 1.0 - red - blue;
    double luma   = tables->full_range ? 1.0 : 255.0 / 219.0;
    double chroma = tables->full_range ? 1.0 : 255.0 / 224.0;

    *offset = luma * (tables->full_range ? 128.0 : 128.0 - 16.0);
    for (int c = 0; c < 3; c++)
        rgb[c][0] = luma;
    if (tables->format == FRAME_GRAY8)
        return;
    rgb[0][2] = 2.0 * (1.0 - red) * chroma;
    rgb[1][1] = -2.0 * blue * (1.0 - blue) / green * chroma;
    rgb[1][2] = -2.0 * red * (1.0 - red) / green * chroma;
    rgb[2][1] = 2.0 * (1.0 - blue) * chroma;
}

static void set_colours(struct prepare_tables *tables)
{
    const struct prepare_settings *settings  = &tables->settings;
    double                         rgb[3][3] = {{0}};
    double                         offset    = 128.0;

    if (tables->format == FRAME_RGB24)
        rgb[0][0] = rgb[1][1] = rgb[2][2] = 1.0;
    else if (tables->format == FRAME_BGR24)
        rgb[0][2] = rgb[1][1] = rgb[2][0] = 1.0;
    else
        yuv_to_rgb(tables, rgb, &offset);
    for (int c = 0; c < 3; c++) {
        const double *from = rgb[settings->rgb ? c : 2 - c];
        double        mean = settings->mean[c], scale = settings->scale[c];

        for (int k = 0; k < 3; k++)
            tables->colours.coefficient[c][k] =
                (float)(from[k] * scale / ((double)ROW_WEIGHT_SUM * COLUMN_WEIGHT_SUM));
        tables->colours.offset[c] = (float)((offset - mean) * scale);
        tables->colours.low[c]    = (float)((0.0 - mean) * scale);
        tables->colours.high[c]   = (float)((255.0 - mean) * scale);
    }
}

static int open_filters(struct prepare_tables *tables, const struct prepare_kernels *kernels)
{
    double x_scale     = (double)tables->width_px / tables->area.width_px;
    double y_scale     = (double)tables->height_px / tables->area.height_px;
    bool   half_height = tables->format == FRAME_I420 || tables->format == FRAME_NV12;
    bool   half_width  = half_height || tables->format == FRAME_I422;
    int    rc;

    rc = row_filter_open(&tables->row[0], tables->width_px, tables->area.width_px, x_scale,
                         kernels);
    if (rc == 0)
        rc = column_filter_open(&tables->column[0], tables->height_px, tables->area.height_px,
                                y_scale);
    if (rc == 0 && half_width) {
        rc = row_filter_open(&tables->row[1], (tables->width_px + 1) / 2, tables->area.width_px,
                             x_scale / 2.0, kernels);
        if (rc == 0 && half_height)
            rc = column_filter_open(&tables->column[1], (tables->height_px + 1) / 2,
                                    tables->area.height_px, y_scale / 2.0);
        else if (rc == 0)
            rc = column_filter_open(&tables->column[1], tables->height_px, tables->area.height_px,
                                    y_scale);
    }
    return rc;
}
