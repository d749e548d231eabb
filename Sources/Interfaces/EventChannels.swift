// SPDX-License-Identifier: Apache-2.0
//
// Event channels, two-level: 64 words of 64 ports a domain.
// Source: xen/include/public/event_channel.h, xen.h (struct shared_info, struct vcpu_info), errno.h.

/// What an operation on event channels answers (`XEN_E*`, negated, as hypercalls return them).
public enum EventStatus: Int64, Sendable, Hashable, CaseIterable {
  case okay = 0
  /// ENOENT: the domain has no such vCPU.
  case noEntry = -2
  /// ESRCH: there is no such domain.
  case noSuchDomain = -3
  /// EEXIST: the vCPU has a port for this virtual interrupt already.
  case exists = -17
  /// EINVAL: the port, or the virtual interrupt, is not one that the operation can be done with.
  case invalid = -22
  /// ENOSPC: every port of the domain is open.
  case noSpace = -28
}
