// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// Why the host could not do what the toolstack asked. Each description is one line.
public enum HostError: Error, Sendable, Hashable, CustomStringConvertible {
  case kvm(KVMError)
  /// Fewer frames are free than are needed.
  case outOfFrames(needed: Int, free: Int)
  /// The system gives no more threads.
  case noThread(errno: Int32)
  /// All domain numbers are in use.
  case outOfDomains
  /// A domain needs at least one frame and between 1 and `Domain.maximumVirtualCPUs` vCPUs.
  case badConfiguration(String)
  /// This machine cannot run such a domain: why not, and what to do.
  case unsupported(String)

  public var description: String {
    switch self {
    case .kvm(let error):
      error.description
    case .outOfFrames(let needed, let free):
      "not enough free memory: \(needed) frames of 4 KiB are needed, \(free) are free"
    case .noThread(let errno):
      "cannot start a thread for a vCPU: errno \(errno)"
    case .outOfDomains:
      "all domain numbers are in use"
    case .badConfiguration(let text), .unsupported(let text):
      text
    }
  }
}
