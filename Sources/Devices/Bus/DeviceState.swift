// SPDX-License-Identifier: Apache-2.0

/// The state of one end of a device, as it stands in the store.
/// Source: xen/include/public/io/xenbus.h.
public enum DeviceState: Int, Sendable, Hashable, CustomStringConvertible {
  case initialising = 1
  /// The back end waits for the front end's details.
  case initWait = 2
  /// The front end's details are in the store.
  case initialised = 3
  case connected = 4
  case closing = 5
  case closed = 6

  public var description: String { rawValue.description }
}
