/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A client that shows one certificate and signs with whatever key it is given: http_thief PORT
 * CERTIFICATE KEY 1.2|1.3
 *
 * Asks who it is and prints the answer; 3: the server ended the connection instead. (OpenSSL
 * refuses a pair that does not match.)
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <wolfssl/ssl.h>

enum { REFUSED = 3 };

static int connect_to(const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_port = htons((uint16_t)atoi(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&at, sizeof at) == 0 ? fd : -1;
}

static int ask(WOLFSSL *session)
{
    static const char request[] =
        "GET /v1/who HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[4096];
    int got;
    int all = 0;
    if (wolfSSL_connect(session) != WOLFSSL_SUCCESS ||
        wolfSSL_write(session, request, sizeof request - 1) <= 0)
        return REFUSED;
    while ((got = wolfSSL_read(session, answer, sizeof answer)) > 0) {
        fwrite(answer, 1, (size_t)got, stdout);
        all += got;
    }
    return all > 0 ? 0 : REFUSED;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    wolfSSL_Init();
    WOLFSSL_CTX *context = wolfSSL_CTX_new(
        strcmp(argv[4], "1.2") == 0 ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method());
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_NONE, NULL);
    if (wolfSSL_CTX_use_certificate_file(context, argv[2], WOLFSSL_FILETYPE_PEM) !=
            WOLFSSL_SUCCESS ||
        wolfSSL_CTX_use_PrivateKey_file(context, argv[3], WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
        return 1;
    WOLFSSL *session = wolfSSL_new(context);
    int fd = connect_to(argv[1]);
    int status = fd >= 0 && wolfSSL_set_fd(session, fd) == WOLFSSL_SUCCESS ? ask(session) : 1;
    wolfSSL_free(session);
    wolfSSL_CTX_free(context);
    close(fd);
    return status;
}
