// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Toolstack

/// `lockstep xenstore`: a running domain's store.
struct StoreCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "xenstore", abstract: "Look at and change the store of a running domain.",
    discussion: "A path that begins with / is absolute; others are below the domain's own /local/domain/N.",
    subcommands: [List.self, Read.self, Write.self, Remove.self, Watch.self])

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls", abstract: "List a node and all below it, with their values.")
    @OptionGroup var domain: DomainArgument
    @Argument(help: "The node; without one, the domain's own directory.")
    var path = ""
    @Flag(name: .long, help: "One JSON object a line on standard output instead of text.")
    var json = false

    func run() throws {
      for node in try domain.ask(.storeList(path)).nodes ?? [] {
        if json {
          try printJSON(node)
        } else {
          print("\(node.path) = \(node.value.map { "\"\($0)\"" } ?? "(no text)")")
        }
      }
    }
  }

  struct Read: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Print a node's value.")
    @OptionGroup var domain: DomainArgument
    @Argument(help: "The node.") var path: String

    func run() throws {
      guard let value = try domain.ask(.storeRead(path)).nodes?.first?.value else {
        throw CouldNotRun("\(path) holds something that is no text")
      }
      print(value)
    }
  }

  struct Write: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Set a node's value; make it, and what lacks above it.")
    @OptionGroup var domain: DomainArgument
    @Argument(help: "The node.") var path: String
    @Argument(help: "Its value.") var value: String

    func run() throws { try domain.ask(.storeWrite(path: path, value: value)) }
  }

  struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "rm", abstract: "Remove a node and all below it.")
    @OptionGroup var domain: DomainArgument
    @Argument(help: "The node.") var path: String

    func run() throws { try domain.ask(.storeRemove(path)) }
  }

  struct Watch: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Print a node's path and value at once and whenever it or one below it changes.")
    @OptionGroup var domain: DomainArgument
    @Argument(help: "The node.") var path: String

    func run() throws {
      do {
        let client = try ControlClient(domain.name)
        _ = try client.ask(.storeWatch(path))
        client.waitForever()
        while let node = client.next()?.nodes?.first {
          // Whoever reads a pipe is to have each line at once.
          FileHandle.standardOutput.write(
            Data("\(node.path) = \(node.value.map { "\"\($0)\"" } ?? "(none)")\n".utf8))
        }
      } catch {
        throw CouldNotRun(error.description)
      }
    }
  }
}
