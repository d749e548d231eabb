// SPDX-License-Identifier: Apache-2.0

import Checker
import Foundation
import FoundationXML
import Logic
import Testing

/// What is in a page, as a strict reader has it: a page that is not well-formed is none.
private final class Reader: NSObject, XMLParserDelegate {
  private(set) var text = ""
  private(set) var elements: [String: Int] = [:]
  /// Everything that a browser would fetch or go to.
  private(set) var references: [String] = []
  private(set) var identifiers: [String] = []

  init?(_ html: String) {
    super.init()
    let parser = XMLParser(data: Data(html.utf8))
    parser.delegate = self
    guard parser.parse(), isWellFormed else { return nil }
  }

  private var isWellFormed = true

  func parser(_ parser: XMLParser, parseErrorOccurred error: any Error) { isWellFormed = false }

  func parser(_ parser: XMLParser, foundCharacters string: String) { text += string }

  func parser(
    _ parser: XMLParser, didStartElement element: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String]
  ) {
    elements[element, default: 0] += 1
    for (name, value) in attributes {
      if ["href", "src", "srcset", "action", "data"].contains(name) { references.append(value) }
      if name == "id" { identifiers.append(value) }
    }
  }
}

@Suite("The page") struct PageTests {
  private static let bug = HandMutant(
    "anybody enters", advisory: "classic", mechanism: "The ticket <is> not \"looked\" at.",
    killer: "one at a time",
    make: { OpenBakery() })

  private func page(_ machine: @escaping @Sendable () -> Machine) throws -> (
    html: String, found: Verification
  ) {
    let subject = Subject("Bakery", scopes: [.small], mutants: [Self.bug], make: machine)
    let found = try #require(try Verifier().verify([subject]).first).verification
    let mutants = found.counterexample == nil ? try MutationReport(try MutantTrial(subject)) : nil
    return (Page([try Page.Machine(subject, found, mutants: mutants)], seconds: 1).html, found)
  }

  @Test("is well-formed, names every invariant, rule and mutant, and refers to nothing outside itself")
  func whole() throws {
    let (html, found) = try page { Bakery() }
    let reader = try #require(Reader(html), "the page is not well-formed")
    for theorem in found.theorems { #expect(reader.text.contains(theorem.invariant)) }
    #expect(reader.text.contains("One actor is inside at a time."))
    #expect(reader.text.contains("The ticket <is> not \"looked\" at."))
    #expect(reader.text.contains("drop"), "mechanical mutants are in it")
    #expect(reader.references.allSatisfy { $0.hasPrefix("#") })
    for reference in reader.references { #expect(reader.identifiers.contains(String(reference.dropFirst()))) }
    #expect(reader.identifiers.count == Set(reader.identifiers).count)
    for outside in ["http:", "https:", "@import", "url(", "<script", "<link"] {
      // An arrow's head is referred to by its id.
      #expect(!html.replacing("url(#", with: "").contains(outside), "\(outside)")
    }
  }

  @Test("has the phases' diagram, and the bug's steps as a table") func pictures() throws {
    let reader = try #require(Reader(try page { Bakery() }.html))
    #expect(reader.elements["svg"] == 1)
    #expect(reader.text.contains("places.phase") && reader.text.contains("3 moves"))
    let specification = try Bakery().trace()
    let diagram = try #require(try CaseDiagram.all(of: specification, scope: .small).first)
    #expect(diagram.cases == ["idle", "waiting", "inside"] && diagram.initial == 0 && diagram.isWhole)
    let moves = diagram.edges.map { "\($0.from) to \($0.to) by \($0.actions)" }
    #expect(moves == ["0 to 1 by [\"draw\"]", "1 to 2 by [\"enter\"]", "2 to 0 by [\"leave\"]"])
    #expect(reader.text.contains("Violated: one at a time, for x0 = actor0, x1 = actor1."))
  }

  @Test("says what does not hold, with the steps there") func violated() throws {
    let (html, found) = try page { Canary() }
    #expect(!found.holds)
    let reader = try #require(Reader(html))
    #expect(reader.text.contains("Not all of it holds."))
    #expect(reader.text.contains("\"nobody is ever inside\" is violated"))
    #expect(reader.text.contains("enter(actor: actor0) = inside"))
  }

  @Test("a page that is not well-formed is noticed") func canary() throws {
    let (html, _) = try page { Bakery() }
    #expect(Reader(html.replacing("</section>", with: "")) == nil)
    #expect(Reader(html.replacing("&lt;is&gt;", with: "<is>")) == nil)
  }
}
