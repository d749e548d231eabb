// SPDX-License-Identifier: Apache-2.0

/// Why the store refused an operation; the raw value is what the wire carries.
/// Source: xen/include/public/io/xs_wire.h.
public enum StoreError: String, Error, Sendable, Hashable, CaseIterable {
  case invalid = "EINVAL"
  case accessDenied = "EACCES"
  case exists = "EEXIST"
  case noEntry = "ENOENT"
  case noSpace = "ENOSPC"
  case notImplemented = "ENOSYS"
  /// A transaction met another's changes: start it again.
  case tryAgain = "EAGAIN"
  case tooBig = "E2BIG"
  case notPermitted = "EPERM"
}
