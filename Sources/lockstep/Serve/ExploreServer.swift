// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import Logic
import Synchronization

/// One machine's walk for browsers of this computer: a page, and the answers that it asks for. Nothing is kept between
/// two requests but the compiled machine.
final class ExploreServer: Sendable {
  private let walker: Mutex<Walker>

  init(_ specification: Specification, scopes: [Scope]) throws(SpecificationError) {
    walker = Mutex(try Walker(specification, scopes))
  }

  func answer(to request: LoopbackServer.Request) -> LoopbackServer.Answer {
    guard Self.isLocal(request) else { return Self.refusal(403, "not a name of this computer") }
    guard let body = request.body else { return Self.refusal(413, "more than 1 MiB") }
    do {
      switch (request.method, request.path) {
      case ("GET", "/"): return Self.answer("text/html", Data(ExplorePage.html.utf8))
      case ("GET", "/page.css"): return Self.answer("text/css", Data(ExplorePage.style.utf8))
      case ("GET", "/page.js"): return Self.answer("text/javascript", Data(ExplorePage.script.utf8))
      case ("GET", "/machine"): return try walking { try $0.machine }
      case ("POST", "/walk"):
        return try walking { try $0.view(try Self.decode(Walker.Place.self, body)) }
      case ("POST", "/read"):
        return try walking { try $0.read(try Self.decode(Walker.Written.self, body)) }
      default: return Self.refusal(404, "nothing is served here")
      }
    } catch {
      return Self.refusal(500, "\(error)")
    }
  }

  private func walking(_ ask: (Walker) throws -> Data) throws -> LoopbackServer.Answer {
    do {
      return Self.answer("application/json", try walker.withLock { try ask($0) })
    } catch let error as WalkError {
      return Self.refusal(400, error.description)
    } catch is DecodingError {
      return Self.refusal(400, "not what this page asks")
    }
  }

  private static func decode<T: Decodable>(_ type: T.Type, _ data: Data) throws -> T {
    try JSONDecoder().decode(type, from: data)
  }

  /// Whether the page was asked for by this computer's own names: another's name that leads here is some other page's
  /// attempt to read what is served.
  private static func isLocal(_ request: LoopbackServer.Request) -> Bool {
    let name = request.host.split(separator: ":").first ?? ""
    return name == "127.0.0.1" || name == "localhost"
  }

  private static func answer(_ type: String, _ body: Data) -> LoopbackServer.Answer {
    LoopbackServer.Answer(
      status: 200, type: "\(type); charset=utf-8", body: body,
      headers: [
        ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"),
        (
          "Content-Security-Policy",
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none';"
            + " form-action 'none'; frame-ancestors 'none'"
        ),
      ])
  }

  private static func refusal(_ status: UInt32, _ reason: String) -> LoopbackServer.Answer {
    LoopbackServer.Answer(status: status, type: "text/plain; charset=utf-8", body: Data(reason.utf8))
  }
}

/// The machine at its scopes.
private struct Walker {
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
