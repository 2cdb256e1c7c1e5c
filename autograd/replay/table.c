/* Runs the rows of a table: NumPy's inner loops, one after the other. Knows nothing of Python.

   A row is a call of one loop, or of the same loop at all steps along outer axes. `table.py` writes the rows,
   as numbers of the size of a pointer. The two loops at the end are those of copyto and where, which NumPy
   has not among its ufuncs. */
#include <fenv.h>
#include <stdint.h>
#include <string.h>

#ifdef _WIN32
#define SHARED __declspec(dllexport)
#else
#define SHARED __attribute__((visibility("default")))
#endif

typedef intptr_t word;
typedef void (*loop)(char **args, word const *dims, word const *steps, void *data);

struct row {
    loop run;
    void *data;                        /* what NumPy keeps beside the loop */
    word heeded;                       /* the floating-point errors that count, as bits of `errors` */
    word operands, dims, steps, axes;  /* how many follow in `rest`: */
    word rest[];                       /* addresses, dims, steps, and for each outer axis its size and strides */
};

enum { OPERANDS = 4, AXES = 16 };      /* at most; `table.py` reads these */
SHARED word const limits[2] = {OPERANDS, AXES};

/* The floating-point errors since the last call, as bits: divide, over, under, invalid. */
static word errors(void)
{
    int up = fetestexcept(FE_DIVBYZERO | FE_OVERFLOW | FE_UNDERFLOW | FE_INVALID);
    if (!up)
        return 0;
    feclearexcept(FE_ALL_EXCEPT);
    return (up & FE_DIVBYZERO ? 1 : 0) | (up & FE_OVERFLOW ? 2 : 0) | (up & FE_UNDERFLOW ? 4 : 0)
         | (up & FE_INVALID ? 8 : 0);
}

/* Call the loop of a row at all steps along its outer axes, the last axis first. */
static void run_along(struct row const *row, char **at, word const *dims, word const *steps, word const *outer)
{
    word const k = row->operands, last = row->axes - 1, n = outer[last * (1 + k)];
    word index[AXES] = {0}, stride[OPERANDS] = {0}, axis;
    char *here[OPERANDS] = {0}, *args[OPERANDS];

    for (word i = 0; i < k; i++)
        stride[i] = outer[last * (1 + k) + 1 + i];
    do {
        for (word i = 0; i < k; i++)
            here[i] = at[i];
        for (word step = 0; step < n; step++) {  /* all operands, used or not: the compiler unrolls that */
            for (word i = 0; i < OPERANDS; i++)
                args[i] = here[i];  /* some loops change their args */
            row->run(args, dims, steps, row->data);
            for (word i = 0; i < OPERANDS; i++)
                here[i] += stride[i];
        }
        for (axis = last - 1; axis >= 0; axis--) {
            word const size = outer[axis * (1 + k)], *strides = outer + axis * (1 + k) + 1;
            word move = ++index[axis] < size ? 1 : 1 - size;
            for (word i = 0; i < k; i++)
                at[i] += move * strides[i];
            if (move == 1)
                break;
            index[axis] = 0;
        }
    } while (axis >= 0);
}

/* Run n rows; returns the floating-point errors that count, of all of them. */
SHARED word run_rows(word n, word const *words)
{
    word raised = 0;
    feclearexcept(FE_ALL_EXCEPT);
    while (n--) {
        struct row const *row = (struct row const *)words;
        word const k = row->operands, *dims = row->rest + k, *steps = dims + row->dims;
        word const *outer = steps + row->steps;
        char *at[OPERANDS];

        for (word i = 0; i < k; i++)
            at[i] = (char *)row->rest[i];
        if (row->axes)
            run_along(row, at, dims, steps, outer);
        else
            row->run(at, dims, steps, row->data);
        raised |= errors() & row->heeded;
        words = outer + row->axes * (1 + k);
    }
    return raised;
}

/* copyto and where for elements of one size: from source to result, and from either of two by a bool. */
#define LOOPS_FOR(type)                                                                                      \
    SHARED void copy_##type(char **args, word const *dims, word const *steps, void *data)                    \
    {                                                                                                        \
        char *x = args[0], *y = args[1];                                                                     \
        (void)data;                                                                                          \
        if (steps[0] == sizeof(type) && steps[1] == sizeof(type))                                            \
            memmove(y, x, dims[0] * sizeof(type));                                                           \
        else if (steps[0] == 0 && steps[1] == sizeof(type)) {                                                \
            type const v = *(type *)x;                                                                       \
            for (word i = 0; i < dims[0]; i++)                                                               \
                ((type *)y)[i] = v;                                                                          \
        } else                                                                                               \
            for (word i = 0; i < dims[0]; i++, x += steps[0], y += steps[1])                                 \
                *(type *)y = *(type *)x;                                                                     \
    }                                                                                                        \
    SHARED void where_##type(char **args, word const *dims, word const *steps, void *data)                   \
    {                                                                                                        \
        char *c = args[0], *a = args[1], *b = args[2], *y = args[3];                                         \
        (void)data;                                                                                          \
        if (steps[0] == 1 && steps[1] == sizeof(type) && steps[2] == sizeof(type)                            \
            && steps[3] == sizeof(type))                                                                     \
            for (word i = 0; i < dims[0]; i++)                                                               \
                ((type *)y)[i] = c[i] ? ((type *)a)[i] : ((type *)b)[i];                                     \
        else                                                                                                 \
            for (word i = 0; i < dims[0]; i++, c += steps[0], a += steps[1], b += steps[2], y += steps[3])   \
                *(type *)y = *c ? *(type *)a : *(type *)b;                                                   \
    }

LOOPS_FOR(uint8_t)
LOOPS_FOR(uint16_t)
LOOPS_FOR(uint32_t)
LOOPS_FOR(uint64_t)
