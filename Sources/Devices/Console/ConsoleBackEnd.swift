// SPDX-License-Identifier: Apache-2.0

import Glibc
import Hypervisor
import Interfaces
import Xenstore

/// Where a console's bytes come from and go to.
public struct ConsoleStreams: Sendable {
  /// Nil for a console without input.
  public var input: Int32?
  public var output: Int32
  /// Where the lines of the emergency console go; nil for nowhere.
  public var log: Int32?
  /// The byte that ends the session; nil if all bytes are the guest's.
  public var escape: UInt8?
  /// Called, on the console's thread, when the user ends the session.
  public var ended: @Sendable () -> Void
  /// Further terminals, which come and go.
  public let attachments = ConsoleAttachments()

  /// Ctrl-], as in `xl console`.
  public static let controlBracket: UInt8 = 0x1d

  public init(
    input: Int32?, output: Int32, log: Int32? = nil, escape: UInt8? = nil,
    ended: @escaping @Sendable () -> Void = {}
  ) {
    self.input = input
    self.output = output
    self.log = log
    self.escape = escape
    self.ended = ended
  }
}

/// The back end of a domain's console.
public final class ConsoleBackEnd: Sendable {
  /// Where the ring's indices lie in its page. Source: xen/include/public/io/console.h.
  public static let indexOffset = 3072

  private let thread: ServiceThread
  private let channel: HostEventChannel
  private let attachments: ConsoleAttachments

  /// - Parameters:
  ///   - page: the console ring's page; stays the domain's until `close` has returned.
  ///   - port: the guest's port, open for the host.
  public init(
    _ streams: ConsoleStreams, for domain: Domain, on host: Host, page: UnsafeMutableRawPointer,
    port: EventPort
  ) throws(HypercallError) {
    let thread = ServiceThread(name: "console-\(domain.id)")
    let ring = host.machinery.makeStreamRing(page: page, layout: .console)
    let server = Confined(
      ConsoleServer(
        ring: ring, ConsoleEnd(input: streams.input, output: streams.output, escape: streams.escape)))
    let channel = try host.bindInterdomain(domain: domain.id, remotePort: port) { thread.signal() }
    thread.start { wakeUp, isStopping in
      do throws(RingError) {
        try Self.serve(server.value, streams, wakeUp, isStopping) { channel.notify() }
      } catch {
        domain.crash("its console ring is corrupt: \(error)")
      }
    }
    streams.attachments.tell { thread.signal() }
    attachments = streams.attachments
    self.thread = thread
    self.channel = channel
  }

  /// Ends the console; what the guest has written by now is still shown, if it is read soon.
  public func close() {
    channel.close()
    attachments.tell(nil)
    thread.stop()
  }

  /// How long the last output waits for its reader, in milliseconds.
  private static let lastWait: Int32 = 1000

  private static func serve(
    _ server: ConsoleServer, _ streams: ConsoleStreams, _ wakeUp: WakeUp, _ isStopping: () -> Bool,
    notify: () -> Void
  ) throws(RingError) {
    defer { streams.attachments.leave(server.ends.filter(\.isAttached).map(\.descriptor)) }
    while true {
      let stopping = isStopping()
      if !stopping {
        for socket in streams.attachments.take() { server.add(ConsoleEnd(attached: socket)) }
      }
      if try server.exchange() { notify() }
      if stopping && !server.ends.contains(where: { $0.wantedOutput != nil }) { return }
      let acceptsInput = server.acceptsInput && !stopping
      var waiting = [pollfd(fd: stopping ? -1 : wakeUp.descriptor, events: Int16(POLLIN), revents: 0)]
      for end in server.ends {
        let input = acceptsInput ? end.wantedInput : nil
        waiting.append(pollfd(fd: input ?? -1, events: Int16(POLLIN), revents: 0))
        waiting.append(pollfd(fd: end.wantedOutput ?? -1, events: Int16(POLLOUT), revents: 0))
      }
      let ready = poll(&waiting, nfds_t(waiting.count), server.isBusy ? 0 : stopping ? lastWait : -1)
      if ready == 0 && stopping && !server.isBusy { return }
      guard ready > 0 else { continue }
      if waiting[0].revents != 0 { wakeUp.clear() }
      for (index, end) in server.ends.enumerated() {
        if waiting[2 * index + 1].revents != 0, server.readInput(of: end) { streams.ended() }
        if waiting[2 * index + 2].revents != 0 { end.writeOutput() }
      }
      for end in server.removeGone() { streams.attachments.drop(end.descriptor) }
    }
  }
}
