// SPDX-License-Identifier: Apache-2.0

import Foundation
import Glibc

/// A program that says at which address it serves.
final class Service {
  private let process: ChildProcess
  private let scratch = Scratch()

  init(_ path: String, _ arguments: [String]) {
    process = ChildProcess(
      path, arguments, input: .file(path: "/dev/null", flags: O_RDONLY),
      output: .file(path: "\(scratch.path)/output", flags: O_WRONLY | O_CREAT | O_TRUNC),
      error: .file(path: "\(scratch.path)/error", flags: O_WRONLY | O_CREAT | O_TRUNC))
  }

  /// What it has written so far matches this, sooner or later: the part in parentheses.
  func said(_ expression: Regex<(Substring, Substring)>) async throws -> String {
    for _ in 0..<600 {
      if let found = scratch.read("output").firstMatch(of: expression) { return String(found.output.1) }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw Failure("it does not say where it serves: \(scratch.read("error"))")
  }

  /// Asks it to end, and waits until it has.
  func end() -> ChildProcess.End? {
    process.send(SIGINT)
    return process.wait(seconds: 20)
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// One request to a server on this computer, and what is answered: a few lines over a socket, for Foundation's client
/// does not take what Chromium's driver answers.
/// - Parameter url: `http://127.0.0.1:PORT/…`.
func request(_ url: String, _ method: String = "GET", body: Data = Data(), host: String? = nil) async throws
  -> (status: Int, body: Data)
{
  guard let parts = url.firstMatch(of: /http:\/\/127\.0\.0\.1:(\d+)(.*)/), let port = UInt16(parts.output.1)
  else {
    throw Failure("not of this computer: \(url)")
  }
  let path = parts.output.2.isEmpty ? "/" : String(parts.output.2)
  let head =
    "\(method) \(path) HTTP/1.1\r\nHost: \(host ?? "127.0.0.1:\(port)")\r\nConnection: close\r\n"
    + "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n"
  let answer = try exchange(Data(head.utf8) + body, port)
  guard let end = answer.firstRange(of: Data("\r\n\r\n".utf8)) else { throw Failure("no answer from \(url)") }
  let lines = String(decoding: answer[..<end.lowerBound], as: UTF8.self).split(separator: "\r\n")
  guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else {
    throw Failure("no status from \(url)")
  }
  return (status, Data(answer[end.upperBound...]))
}

/// Sends all of a request, and reads until the whole answer is there.
private func exchange(_ request: Data, _ port: UInt16) throws -> Data {
  let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
  defer { close(descriptor) }
  var patience = timeval(tv_sec: 60, tv_usec: 0)
  setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
  var address = sockaddr_in()
  address.sin_family = sa_family_t(AF_INET)
  address.sin_port = port.bigEndian
  address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
  let connected = withUnsafePointer(to: &address) {
    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
    }
  }
  guard connected == 0 else { throw Failure("nobody serves at \(port)") }
  var sent = 0
  while sent < request.count {
    let rest = Array(request[sent...])
    let count = send(descriptor, rest, rest.count, Int32(MSG_NOSIGNAL))
    guard count > 0 else { break }
    sent += count
  }
  var answer = Data()
  var buffer = [UInt8](repeating: 0, count: 65536)
  while !isWhole(answer) {
    let count = recv(descriptor, &buffer, buffer.count, 0)
    guard count > 0 else { break }
    answer += buffer[..<count]
  }
  return answer
}

private func isWhole(_ answer: Data) -> Bool {
  guard let end = answer.firstRange(of: Data("\r\n\r\n".utf8)) else { return false }
  let head = String(decoding: answer[..<end.lowerBound], as: UTF8.self)
  guard let length = head.firstMatch(of: /(?i)content-length: *(\d+)/).flatMap({ Int($0.output.1) }) else {
    return false
  }
  return answer.count - end.upperBound >= length
}

/// A headless Chromium, led by its driver as the WebDriver recommendation says (w3.org/TR/webdriver2).
struct Browser {
  private let session: String

  static let driver = "/usr/bin/chromedriver"
  static var isThere: Bool { access(driver, X_OK) == 0 && access("/usr/bin/chromium", X_OK) == 0 }

  /// - Parameter driver: the address of a driver.
  init(driver: String) async throws {
    let options: [String: Any] = [
      "args": [
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--window-size=1400,1600",
      ],
      "binary": "/usr/bin/chromium",
    ]
    let wanted: [String: Any] = [
      "capabilities": ["alwaysMatch": ["browserName": "chrome", "goog:chromeOptions": options]]
    ]
    let value = try await Self.send("\(driver)/session", "POST", wanted)
    guard let made = value as? [String: Any], let identifier = made["sessionId"] as? String else {
      throw Failure("no session: \(value)")
    }
    session = "\(driver)/session/\(identifier)"
  }

  private static func send(_ url: String, _ method: String, _ body: [String: Any]?) async throws -> Any {
    let data = try body.map { try JSONSerialization.data(withJSONObject: $0) }
    let answer = try await request(url, method, body: data ?? Data())
    let object = try JSONSerialization.jsonObject(with: answer.body) as? [String: Any]
    guard answer.status == 200 else { throw Failure("\(object?["value"] ?? answer.status)") }
    return object?["value"] ?? ""
  }

  func open(_ url: String) async throws { _ = try await Self.send("\(session)/url", "POST", ["url": url]) }

  func close() async throws { _ = try await Self.send(session, "DELETE", nil) }

  /// What a script returns, as text.
  func text(_ script: String) async throws -> String {
    let value = try await Self.send(
      "\(session)/execute/sync", "POST", ["script": "return String(\(script))", "args": [] as [String]])
    return value as? String ?? "\(value)"
  }

  /// Waits until a script's text is as wanted.
  func wait(_ script: String, _ wanted: String) async throws {
    var last = ""
    for _ in 0..<200 {
      last = try await text(script)
      if last == wanted { return }
      try await Task.sleep(for: .milliseconds(50))
    }
    throw Failure("\(script) is \(last), not \(wanted)")
  }

  private func element(_ selector: String) async throws -> String {
    let value = try await Self.send(
      "\(session)/element", "POST", ["using": "css selector", "value": selector])
    guard let found = value as? [String: Any], let identifier = found.values.first as? String else {
      throw Failure("there is no \(selector)")
    }
    return "\(session)/element/\(identifier)"
  }

  /// As a person does: what is hidden, or disabled, cannot be clicked.
  func click(_ selector: String) async throws {
    _ = try await Self.send("\(try await element(selector))/click", "POST", [:])
  }

  /// Types text in the place of what stands there.
  func fill(_ selector: String, _ text: String) async throws {
    let element = try await element(selector)
    _ = try await Self.send("\(element)/clear", "POST", [:])
    _ = try await Self.send("\(element)/value", "POST", ["text": text])
  }

  /// A picture of what is seen, as PNG.
  func picture() async throws -> Data {
    let value = try await Self.send("\(session)/screenshot", "GET", nil)
    return Data(base64Encoded: value as? String ?? "") ?? Data()
  }
}
