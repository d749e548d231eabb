// SPDX-License-Identifier: Apache-2.0

import Checker
import FlyingFox
import FlyingSocks
import Foundation
import Logic

/// Serves one machine's walk to browsers of this computer: a page, and the answers that it asks for. Nothing is kept
/// between two requests but the compiled machine.
struct ExploreServer {
  private let walker: Walker
  private let server: HTTPServer

  /// - Parameter port: 0 for any that is free.
  init(_ specification: Specification, scopes: [Scope], port: UInt16) throws {
    walker = try Walker(specification, scopes)
    // The loopback address: nobody else's computer reaches it.
    server = HTTPServer(address: try .inet(ip4: "127.0.0.1", port: port), logger: .disabled)
  }

  /// Serves until `isOver`.
  /// - Parameter ready: told the page's address.
  func run(ready: @escaping @Sendable (String) -> Void, isOver: @escaping @Sendable () -> Bool) async throws {
    await addRoutes()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { [server] in
        // Closing the socket is how it is told to stop.
        do { try await server.run() } catch { if !isOver() { throw error } }
      }
      group.addTask { [server] in
        try await server.waitUntilListening()
        if case .ip4(_, let port) = await server.listeningAddress { ready("http://127.0.0.1:\(port)/") }
        while !isOver() { try await Task.sleep(for: .milliseconds(100)) }
        await server.stop()
      }
      try await group.next()
      group.cancelAll()
    }
  }

  private func addRoutes() async {
    let files = [
      ("/", "text/html", ExplorePage.html), ("/page.css", "text/css", ExplorePage.style),
      ("/page.js", "text/javascript", ExplorePage.script),
    ]
    for (path, type, text) in files {
      await server.appendRoute(HTTPRoute(stringLiteral: "GET \(path)")) { request in
        guard Self.isLocal(request) else { return Self.refusal(.forbidden, "not a name of this computer") }
        return Self.answer(type, Data(text.utf8))
      }
    }
    await server.appendRoute("GET /machine") { [walker] request in
      try await Self.answering(request) { _ in try await walker.machine }
    }
    await server.appendRoute("POST /walk") { [walker] request in
      try await Self.answering(request) { data in
        try await walker.view(try Self.decode(Walker.Place.self, data))
      }
    }
    await server.appendRoute("POST /read") { [walker] request in
      try await Self.answering(request) { data in
        try await walker.read(try Self.decode(Walker.Written.self, data))
      }
    }
  }

  // MARK: Requests

  /// The most that a request may bring, in bytes.
  private static let largestBody = 1 << 20

  private static func answering(
    _ request: HTTPRequest, _ answer: (Data) async throws -> Data
  ) async throws -> HTTPResponse {
    guard isLocal(request) else { return refusal(.forbidden, "not a name of this computer") }
    guard (request.bodySequence.count ?? .max) <= largestBody else {
      return refusal(.payloadTooLarge, "more than 1 MiB")
    }
    do {
      return Self.answer("application/json", try await answer(try await request.bodyData))
    } catch let error as WalkError {
      return refusal(.badRequest, error.description)
    } catch is DecodingError {
      return refusal(.badRequest, "not what this page asks")
    }
  }

  private static func decode<T: Decodable>(_ type: T.Type, _ data: Data) throws -> T {
    try JSONDecoder().decode(type, from: data)
  }

  /// Whether the page was asked for by this computer's own names: another's name that leads here is some other page's
  /// attempt to read what is served.
  private static func isLocal(_ request: HTTPRequest) -> Bool {
    let host = request.headers[.host] ?? ""
    let name = host.split(separator: ":").first ?? ""
    return name == "127.0.0.1" || name == "localhost"
  }

  private static func answer(_ type: String, _ body: Data) -> HTTPResponse {
    HTTPResponse(
      statusCode: .ok,
      headers: [
        .contentType: "\(type); charset=utf-8", HTTPHeader("Cache-Control"): "no-store",
        HTTPHeader("X-Content-Type-Options"): "nosniff",
        HTTPHeader("Content-Security-Policy"):
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
          + " form-action 'none'; frame-ancestors 'none'",
      ], body: body)
  }

  private static func refusal(_ status: HTTPStatusCode, _ reason: String) -> HTTPResponse {
    HTTPResponse(
      statusCode: status, headers: [.contentType: "text/plain; charset=utf-8"], body: Data(reason.utf8))
  }
}

/// The machine at its scopes; requests take turns.
private actor Walker {
  /// Where a browser is.
  struct Place: Codable {
    let scope: Int
    let path: Walk.Path
  }
  /// A path as text, to be read at a scope.
  struct Written: Codable {
    let scope: Int
    let text: String
  }
  private struct Machine: Encodable {
    struct Rule: Encodable {
      let number: String
      let text: String
    }
    struct Place: Encodable {
      let name: String
      let starts: Int
    }
    let name: String
    let actions: [String]
    let rules: [Rule]
    let scopes: [Place]
  }

  private let specification: Specification
  private let walks: [Walk]

  init(_ specification: Specification, _ scopes: [Scope]) throws(SpecificationError) {
    self.specification = specification
    var walks: [Walk] = []
    for scope in scopes { walks.append(try Walk(specification, scope: scope)) }
    self.walks = walks
  }

  var machine: Data {
    get throws {
      try encode(
        Machine(
          name: specification.name, actions: specification.actions.map(\.name),
          rules: specification.rules.map { Machine.Rule(number: $0.number, text: $0.text) },
          scopes: walks.map { Machine.Place(name: $0.layout.scope.name, starts: $0.startCount) }))
    }
  }

  func view(_ place: Place) throws -> Data { try encode(try walk(place.scope).view(of: place.path)) }

  func read(_ written: Written) throws -> Data {
    try encode(try walk(written.scope).path(from: written.text))
  }

  private func walk(_ scope: Int) throws(WalkError) -> Walk {
    guard walks.indices.contains(scope) else { throw WalkError("there is no scope \(scope)") }
    return walks[scope]
  }

  private func encode(_ value: some Encodable) throws -> Data { try JSONEncoder().encode(value) }
}
