// SPDX-License-Identifier: Apache-2.0

/// A hypercall's error, in the numbers of the ABI. Source: xen/include/public/errno.h.
public enum HypercallError: Int64, Error, Sendable, Hashable, CaseIterable {
  case notPermitted = -1
  case noEntry = -2
  case noSuchDomain = -3
  case tooBig = -7
  case tryAgain = -11
  case noMemory = -12
  case accessDenied = -13
  case badAddress = -14
  case busy = -16
  case exists = -17
  case noDevice = -19
  case invalid = -22
  case noSpace = -28
  case notImplemented = -38
  case timeExpired = -62
  case notSupported = -95
}
