// sharpvisor ctl: one request to a VM that runs with --ctl; its JSON answer goes to stdout, its success is the exit status.
using System.CommandLine;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sharpvisor.Cli.Options;
using Sharpvisor.Worker;
using Sharpvisor.Worker.Control;

namespace Sharpvisor.Cli.Commands;

internal static class CtlCommand
{
    private static readonly Argument<string> s_socket = new("SOCKET") { Description = "The socket that run --ctl made" };

    private static readonly Option<string?> s_pool = new("--pool") { Description = "external, guest, auto or autoexternal", HelpName = "POOL" };

    public static Command Create()
    {
        var command = new Command("ctl", "Control a running VM; answers are JSON") { s_socket };
        (string Name, string Description)[] simple =
        [
            ("status", "State, heartbeat, services, disks"),
            ("shutdown", "Ask the guest to power off"),
            ("reboot", "Ask the guest to reboot"),
            ("pause", "Stop time in the VM"),
            ("resume", "Undo pause"),
            ("freeze", "Freeze the guest's file systems"),
            ("thaw", "Undo freeze"),
        ];
        foreach ((string name, string description) in simple)
        {
            command.Add(Leaf(name, description, [], _ => new ControlRequest { Command = name }));
        }

        command.Add(Copy());
        command.Add(Kvp());
        command.Add(Disk());
        command.Add(Nic());
        command.Add(Memory());
        command.Add(SendKeys());
        command.Add(Screenshot());
        return command;
    }

    private static Command Memory()
    {
        var size = new Argument<string>("SIZE") { Description = "What the guest is to keep, for example 256M" };
        return Leaf("memory", "Take memory from the guest, or give it back", [size], p => new ControlRequest
        {
            Command = "memory",
            Bytes = Quantity.TryParseBytes(p.GetValue(size)!, out ulong bytes)
                ? bytes
                : throw new VmConfigurationException($"memory {p.GetValue(size)}: not a size such as 256M"),
        });
    }

    private static Command SendKeys()
    {
        var keys = new Argument<string[]>("KEY")
        {
            Description = "A key (enter, f1, pageup, …), keys pressed together (ctrl-alt-delete), or text",
            Arity = ArgumentArity.OneOrMore,
        };
        var literal = new Option<bool>("--literal") { Description = "Type every KEY as text" };
        return Leaf("send-keys", "Press keys on the VM's keyboard", [keys, literal], p => new ControlRequest
        {
            Command = "send-keys",
            Keys = p.GetValue(keys),
            Literal = p.GetValue(literal),
        });
    }

    private static Command Screenshot()
    {
        var file = new Argument<string>("FILE") { Description = "A PNG file" };
        return Leaf("screenshot", "Write what the screen shows", [file], p => new ControlRequest
        {
            Command = "screenshot",
            File = Path.GetFullPath(p.GetValue(file)!),
        });
    }

    private static Command Copy()
    {
        var file = new Argument<string>("FILE") { Description = "On the host" };
        var destination = new Argument<string>("DEST") { Description = "Absolute path in the guest" };
        var overwrite = new Option<bool>("--overwrite") { Description = "Replace a file that exists" };
        return Leaf("copy", "Copy a file into the guest", [file, destination, overwrite], p => new ControlRequest
        {
            Command = "copy",
            File = Path.GetFullPath(p.GetValue(file)!),
            Destination = p.GetValue(destination),
            Overwrite = p.GetValue(overwrite),
        });
    }

    private static Command Kvp()
    {
        var key = new Argument<string>("KEY");
        var anyKey = new Argument<string?>("KEY") { Arity = ArgumentArity.ZeroOrOne, Description = "All pairs without it" };
        var value = new Argument<string>("VALUE");
        return new Command("kvp", "Exchange key-value pairs with the guest")
        {
            Leaf("get", "Read a pair, or all", [anyKey, s_pool], p => new ControlRequest
            {
                Command = "kvp get", Key = p.GetValue(anyKey), Pool = p.GetValue(s_pool),
            }),
            Leaf("set", "Tell the guest a pair", [key, value, s_pool], p => new ControlRequest
            {
                Command = "kvp set", Key = p.GetValue(key), Value = p.GetValue(value), Pool = p.GetValue(s_pool),
            }),
            Leaf("delete", "Take a pair back", [key, s_pool], p => new ControlRequest
            {
                Command = "kvp delete", Key = p.GetValue(key), Pool = p.GetValue(s_pool),
            }),
        };
    }

    private static Command Disk()
    {
        var file = new Argument<string>("FILE") { Description = "FILE[,controller=scsi|nvme][,readonly]" };
        var place = new Argument<string>("LUN") { Description = "LUN of a SCSI disk, or nvmeN", HelpName = "LUN|nvmeN" };
        return new Command("disk", "Attach and detach synthetic disks")
        {
            Leaf("add", "Attach a disk; answers its LUN or NVMe number", [file], p =>
            {
                string[] parts = p.GetValue(file)!.Split(',');
                return new ControlRequest
                {
                    Command = "disk add",
                    File = Path.GetFullPath(parts[0]),
                    ReadOnly = parts.Skip(1).Contains("readonly", StringComparer.Ordinal),
                    Controller = parts.Skip(1).FirstOrDefault(static o => o != "readonly")?.Replace("controller=", "", StringComparison.Ordinal),
                };
            }),
            Leaf("remove", "Detach a disk", [place], p =>
            {
                const string Nvme = "nvme";
                string text = p.GetValue(place)!;
                bool isNvme = text.StartsWith(Nvme, StringComparison.Ordinal);
                int number = int.TryParse(isNvme ? text[Nvme.Length..] : text, NumberStyles.None, CultureInfo.InvariantCulture, out int parsed)
                    ? parsed
                    : throw new VmConfigurationException($"{text}: neither a LUN nor nvmeN");
                return new ControlRequest { Command = "disk remove", Lun = isNvme ? null : number, Nvme = isNvme ? number : null };
            }),
        };
    }

    private static Command Nic()
    {
        var network = new Argument<string>("NETWORK") { Description = "As for --net" };
        var mac = new Option<string?>("--mac") { Description = "Its address; without it, a random one", HelpName = "ADDRESS" };
        var nic = new Argument<int>("NIC") { Description = "Its number, as status shows it" };
        var link = new Argument<string>("STATE") { Description = "up or down" };
        var first = new Argument<int>("NIC") { Arity = ArgumentArity.ZeroOrOne, DefaultValueFactory = _ => 0, Description = "Its number; without it, 0" };
        return new Command("nic", "Add and remove synthetic network cards, plug cables in and out")
        {
            Leaf("add", "Add a card; answers its number", [network, mac], p => new ControlRequest
            {
                Command = "nic add", Network = p.GetValue(network), Mac = p.GetValue(mac),
            }),
            Leaf("remove", "Remove a card", [nic], p => new ControlRequest { Command = "nic remove", Nic = p.GetValue(nic) }),
            Leaf("link", "Plug a card's cable in or out", [link, first], p => new ControlRequest
            {
                Command = "nic link", Nic = p.GetValue(first), Link = p.GetValue(link),
            }),
        };
    }

    private static Command Leaf(string name, string description, IReadOnlyList<Symbol> parameters, Func<ParseResult, ControlRequest> request)
    {
        var command = new Command(name, description);
        foreach (Symbol parameter in parameters)
        {
            if (parameter is Argument argument)
            {
                command.Add(argument);
            }
            else
            {
                command.Add((Option)parameter);
            }
        }

        command.SetAction((parsed, cancellation) =>
            CommandErrors.GuardAsync(() => SendAsync(parsed.GetValue(s_socket)!, request(parsed), cancellation)));
        return command;
    }

    private static async Task<int> SendAsync(string path, ControlRequest request, CancellationToken cancellation)
    {
        string? answer;
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellation);
            await using var stream = new NetworkStream(socket);
            string line = JsonSerializer.Serialize(request, ControlJson.Default.ControlRequest);
            await stream.WriteAsync(Encoding.UTF8.GetBytes(line + "\n"), cancellation);
            using var reader = new StreamReader(stream, Encoding.UTF8);
            answer = await reader.ReadLineAsync(cancellation);
        }
        catch (Exception e) when (e is SocketException or IOException or ArgumentException)
        {
            throw new VmConfigurationException($"ctl {path}: no VM answers there ({e.Message})");
        }

        if (answer is null)
        {
            throw new VmConfigurationException($"ctl {path}: the VM ended before it answered");
        }

        Console.WriteLine(answer);
        return (bool?)JsonNode.Parse(answer)?["ok"] == true ? ExitStatus.Success : ExitStatus.Failed;
    }
}
