/* page_check FILE: is it a page as page_rules.h demands? Prints the numbers of sections, charts and tables, or what is wrong.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "e2e/page_rules.h"
#include "io/file.h"

int main(int argc, char **argv)
{
    gs_error err;
    char *text;
    size_t n;
    if (argc != 2 || gs_file_read_all(argv[1], (size_t)64 << 20, &text, &n, &err) != GS_OK) {
        fprintf(stderr, "page_check: %s\n", argc == 2 ? err.text : "give it one file");
        return 2;
    }
    page *p = malloc(sizeof *p);
    const bool good = p != NULL && page_check(p, text, n);
    if (good)
        printf("sections %d charts %d tables %d\n", p->n_sections, p->n_svg, p->n_tables);
    else
        printf("%s\n", p != NULL ? p->problem : "no memory");
    free(p);
    gs_free(text);
    return good ? 0 : 1;
}
