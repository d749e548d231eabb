// SPDX-License-Identifier: Apache-2.0

import Interfaces

/// A back end's end of an event channel to a guest.
///
/// The handler given at binding runs on the thread of whoever sends, usually a vCPU: it must be quick, and may take
/// no lock that is held around `notify` or a call into `Host`. Waking the back end's own thread is what it is for.
public final class HostEventChannel: Sendable {
  /// The guest at the other end, and its port.
  public let domain: DomainID
  public let remotePort: EventPort

  /// The host's port.
  let port: EventPort
  private let channels: EventChannels
  let handler: @Sendable () -> Void

  init(
    domain: DomainID, remotePort: EventPort, port: EventPort, channels: EventChannels,
    handler: @escaping @Sendable () -> Void
  ) {
    self.domain = domain
    self.remotePort = remotePort
    self.port = port
    self.channels = channels
    self.handler = handler
  }

  /// Raises the event at the guest's port. Does nothing once either end is closed.
  public func notify() { channels.raise(by: self) }

  /// Closes this end: the handler is not called again by sends that begin later.
  public func close() { channels.close(self) }
}
