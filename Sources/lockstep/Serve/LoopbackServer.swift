// SPDX-License-Identifier: Apache-2.0

import CMicroHTTP
import Foundation

/// A web server for the browsers of this computer: libmicrohttpd, which answers one request at a time on a thread of its
/// own.
final class LoopbackServer {
  struct Request {
    let method: String
    /// "/page.css"; without a query.
    let path: String
    /// What the browser calls this computer, with or without a port.
    let host: String
    /// Nil: it was more than is taken.
    let body: Data?
  }

  struct Answer {
    let status: UInt32
    let type: String
    let body: Data
    var headers: [(name: String, value: String)] = []
  }

  /// The most that a request may bring, in bytes.
  static let largestBody = 1 << 20

  let port: UInt16
  private let daemon: OpaquePointer
  /// What the daemon's thread is given; it lives as long as that does.
  private let responder: Responder

  /// - Parameter port: 0 for any that is free.
  init(port: UInt16, answer: @escaping @Sendable (Request) -> Answer) throws {
    responder = Responder(answer)
    let context = Unmanaged.passUnretained(responder).toOpaque()
    guard let daemon = lockstep_http_start(port, receive, complete, context) else {
      throw CouldNotRun(
        "port \(port) of 127.0.0.1 cannot be listened on: \(String(cString: strerror(errno)))")
    }
    self.daemon = daemon
    self.port = lockstep_http_port(daemon)
  }

  /// Waits for the request that is being answered.
  deinit { MHD_stop_daemon(daemon) }
}

/// Answers requests as they come in.
private final class Responder: Sendable {
  private let answer: @Sendable (LoopbackServer.Request) -> LoopbackServer.Answer

  init(_ answer: @escaping @Sendable (LoopbackServer.Request) -> LoopbackServer.Answer) {
    self.answer = answer
  }

  func respond(_ connection: OpaquePointer, _ method: String, _ path: String, _ upload: Upload) -> MHD_Result
  {
    let host = MHD_lookup_connection_value(connection, .HEADER_KIND, "Host").map { String(cString: $0) }
    let answer = answer(
      LoopbackServer.Request(method: method, path: path, host: host ?? "", body: upload.body))
    let response = answer.body.withUnsafeBytes {
      // It is copied, so that nothing is written to.
      MHD_create_response_from_buffer(
        $0.count, UnsafeMutableRawPointer(mutating: $0.baseAddress), .RESPMEM_MUST_COPY)
    }
    guard let response else { return .NO }
    defer { MHD_destroy_response(response) }
    for (name, value) in [(name: "Content-Type", value: answer.type)] + answer.headers {
      guard MHD_add_response_header(response, name, value) == .YES else { return .NO }
    }
    return MHD_queue_response(connection, answer.status, response)
  }
}

/// What a request has brought so far.
private final class Upload {
  private var data = Data()
  private var size = 0
  var body: Data? { size <= LoopbackServer.largestBody ? data : nil }

  /// False: whoever sends that much gets no answer.
  func add(_ bytes: UnsafePointer<CChar>, _ count: Int) -> Bool {
    size += count
    if size <= LoopbackServer.largestBody { data.append(Data(bytes: bytes, count: count)) }
    return size <= 16 * LoopbackServer.largestBody
  }
}

/// libmicrohttpd calls this once when a request's head is there, for each piece of its body, and when that is whole.
/// `state` is the request's own, and nil at first.
private func receive(
  _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ path: UnsafePointer<CChar>?,
  _ method: UnsafePointer<CChar>?, _ version: UnsafePointer<CChar>?, _ bytes: UnsafePointer<CChar>?,
  _ count: UnsafeMutablePointer<Int>?, _ state: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
  guard let context, let connection, let path, let method, let count, let state else { return .NO }
  guard let known = state.pointee else {
    state.pointee = Unmanaged.passRetained(Upload()).toOpaque()
    return .YES
  }
  let upload = Unmanaged<Upload>.fromOpaque(known).takeUnretainedValue()
  if let bytes, count.pointee > 0 {
    let goesOn = upload.add(bytes, count.pointee)
    count.pointee = 0
    return goesOn ? .YES : .NO
  }
  return Unmanaged<Responder>.fromOpaque(context).takeUnretainedValue()
    .respond(connection, String(cString: method), String(cString: path), upload)
}

/// The end of a request, answered or not.
private func complete(
  _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?,
  _ state: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ how: MHD_RequestTerminationCode
) {
  guard let state, let known = state.pointee else { return }
  Unmanaged<Upload>.fromOpaque(known).release()
  state.pointee = nil
}
