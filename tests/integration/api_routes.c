/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Prints the route table, a row a line: method, pattern, role, limit of the body, whether it is
 * reserved.
 */
#include <stdio.h>

#include "broker/api/api.h"

int main(void)
{
    static const char *const roles[] = {"", "anybody", "terminal", "administrator"};
    for (size_t i = 0; i < cb_api_route_count; i++) {
        const cb_route *route = &cb_api_routes[i];
        printf("%s %s %s %zu %d\n", route->method, route->pattern, roles[route->role],
               route->body_limit, route->crew >= CB_CREW_RESERVED);
    }
    return 0;
}
