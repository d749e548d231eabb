// SPDX-License-Identifier: Apache-2.0
//
// What of libmicrohttpd takes "...", and so cannot be called from Swift.
#include <microhttpd.h>
#include <netinet/in.h>

/// Serves on the loopback address, where no other computer reaches it, from a thread of its own. Port 0: any free one.
static inline struct MHD_Daemon *lockstep_http_start(
    unsigned short port, MHD_AccessHandlerCallback answer, MHD_RequestCompletedCallback completed, void *context) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  return MHD_start_daemon(
      MHD_USE_INTERNAL_POLLING_THREAD, port, NULL, NULL, answer, context,
      MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address,
      MHD_OPTION_NOTIFY_COMPLETED, completed, context,
      MHD_OPTION_CONNECTION_LIMIT, 64u, MHD_OPTION_CONNECTION_TIMEOUT, 10u, MHD_OPTION_END);
}

static inline unsigned short lockstep_http_port(struct MHD_Daemon *daemon) {
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
  return info ? info->port : 0;
}
