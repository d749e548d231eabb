// SPDX-License-Identifier: Apache-2.0

import CSlirp
import Glibc
import Synchronization
import Xenstore

/// A network of one guest's own, made of sockets of this process by libslirp: it needs no privileges.
///
/// The guest is 10.0.2.15 (by DHCP), the host 10.0.2.2, its name server 10.0.2.3. The guest's connections are the
/// process's to the outside world; 10.0.2.2 is the host's 127.0.0.1.
///
/// Of the guest's frames, libslirp is given those of ARP and IPv4, and of these no fragments, as those that wait for
/// the rest would take memory without a bound. It is given none that might open a socket while there are
/// `maximumSockets`, each of which may have 256 KiB under way.
///
/// Belongs to one thread at a time. What stands here of C is in this file and in `UserNetwork+Callbacks`.
public final class UserNetwork: GuestNetwork {
  static let maximumSockets = 256
  public let takesLargeSegments = true

  /// libslirp has a few variables that all its networks share.
  private static let library = Mutex(())

  private var slirp: OpaquePointer?
  /// libslirp keeps a pointer to it.
  private let callbacks = UnsafeMutablePointer<SlirpCb>.allocate(capacity: 1)
  /// What to do with a frame for the guest: only while the network is waited for or given frames.
  private var receive: ((UnsafeRawBufferPointer) -> Void)?
  /// What there is to receive before anybody waits: the answers to what the guest sends.
  private var answers: [[UInt8]] = []

  // What the callbacks work on.
  var polled: [pollfd] = []
  var timers: [Int: SlirpTimer] = [:]
  var nextTimer = 1
  var socketCount = 0

  /// - Throws: if a port cannot be had.
  public init(forwards: [PortForward] = []) throws(NetworkError) {
    callbacks.initialize(to: Self.makeCallbacks())
    func address(_ last: UInt32) -> in_addr { in_addr(s_addr: (0x0a00_0200 | last).bigEndian) }
    var configuration = SlirpConfig()
    configuration.version = 1
    configuration.in_enabled = true
    configuration.vnetwork = address(0)
    configuration.vnetmask = in_addr(s_addr: UInt32(0xffff_ff00).bigEndian)
    configuration.vhost = address(2)
    configuration.vnameserver = address(3)
    configuration.vdhcp_start = address(15)
    // All else is off: IPv6, TFTP, the emulation of old protocols. It copies the configuration.
    Self.library.withLock { _ in slirp = slirp_new(&configuration, callbacks, opaque) }
    guard slirp != nil else { throw NetworkError(description: "libslirp cannot be started") }
    for forward in forwards { try add(forward, to: address(15)) }
  }

  deinit {
    if let slirp { Self.library.withLock { _ in slirp_cleanup(slirp) } }
    callbacks.deallocate()
  }

  /// What libslirp hands to its callbacks: this network, not retained.
  private var opaque: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

  private func add(_ forward: PortForward, to guest: in_addr) throws(NetworkError) {
    let host = in_addr(s_addr: forward.hostAddress.bigEndian)
    let code = Self.library.withLock { _ in
      let result = slirp_add_hostfwd(
        slirp, forward.transport == .udp ? 1 : 0, host, Int32(forward.hostPort), guest,
        Int32(forward.guestPort))
      return result == 0 ? 0 : errno
    }
    guard code == 0 else {
      throw NetworkError(
        description: "\(forward): \(String(cString: strerror(code))); name another port or address")
    }
  }

  // MARK: Frames

  public func send(_ frame: UnsafeRawBufferPointer) {
    guard isWelcome(frame) else { return }
    Self.library.withLock { _ in
      slirp_input(slirp, frame.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(frame.count))
    }
  }

  private func isWelcome(_ frame: UnsafeRawBufferPointer) -> Bool {
    guard let packet = IPv4Packet(frame) else {
      // ARP
      return frame.count >= 42 && frame[12] == 0x08 && frame[13] == 0x06
    }
    if packet.isFragment { return false }
    if socketCount < Self.maximumSockets { return true }
    guard packet.protocolNumber == IPv4Packet.tcp, packet.payload.count >= 20 else { return false }
    // SYN
    return frame[packet.payload.lowerBound + 13] & 0x02 == 0
  }

  /// A frame for the guest, from libslirp.
  func handOver(_ frame: UnsafeRawBufferPointer) {
    if let receive { receive(frame) } else { answers.append(Array(frame)) }
  }

  // MARK: Waiting

  public func wait(
    for wakeUp: WakeUp, atMost limit: UInt32?, receive: @escaping (UnsafeRawBufferPointer) -> Void
  ) {
    self.receive = receive
    defer { self.receive = nil }
    for frame in answers { frame.withUnsafeBytes(receive) }
    let hasAnswered = !answers.isEmpty
    answers = []
    var timeout = hasAnswered ? 0 : limit ?? .max
    polled = [pollfd(fd: wakeUp.descriptor, events: Int16(POLLIN), revents: 0)]
    Self.library.withLock { _ in slirp_pollfds_fill(slirp, &timeout, Self.addPoll, opaque) }
    timeout = min(timeout, timeToNextTimer)
    var waiting = polled
    let ready = poll(&waiting, nfds_t(waiting.count), timeout == .max ? -1 : Int32(clamping: timeout))
    polled = waiting
    if ready > 0, polled[0].revents != 0 { wakeUp.clear() }
    Self.library.withLock { _ in
      slirp_pollfds_poll(slirp, ready < 0 ? 1 : 0, Self.getEvents, opaque)
      fireTimers()
    }
  }
}
