// Executes control requests on a running VM: the contract of `sharpvisor ctl` (README, "Controlling a running VM").
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sharpvisor.Core;
using Sharpvisor.Display;
using Sharpvisor.Display.Keys;
using Sharpvisor.Vsp.Balloon;
using Sharpvisor.Vsp.Integration;

namespace Sharpvisor.Worker.Control;

/// <summary>
/// Commands: status; shutdown; reboot; pause; resume; kvp get (key, pool), without a key all of the pool's pairs; kvp set (key, value,
/// pool); kvp delete (key, pool); copy (file, destination, overwrite); freeze; thaw; disk add (file, read_only, controller);
/// disk remove (lun or nvme); nic add (network, mac); nic remove (nic); nic link (nic, link: up or down); send-keys (keys, literal);
/// screenshot (file);
/// memory (bytes the guest is to keep). Answers: {"ok":true, …} or {"ok":false,"error":"one line"}. Thread-safe.
/// </summary>
public sealed class VmController(VirtualMachine vm)
{
    /// <summary>Executes one line and returns one line.</summary>
    public async Task<string> ExecuteAsync(string line, CancellationToken cancellation = default)
    {
        JsonObject answer;
        try
        {
            ControlRequest? request = JsonSerializer.Deserialize(line, ControlJson.Default.ControlRequest);
            answer = await ExecuteAsync(request ?? throw new ControlException("a request is a JSON object"), cancellation);
            answer.Insert(0, "ok", true);
        }
        catch (JsonException e)
        {
            answer = Failure($"not a request: {e.Message}");
        }
        catch (Exception e) when (e is ControlException or IntegrationException or VmConfigurationException or ArgumentException or IOException
            or UnauthorizedAccessException or ObjectDisposedException or FormatException or TimeoutException)
        {
            answer = Failure(e.Message);
        }

        return answer.ToJsonString();
    }

    private JsonObject AddDisk(ControlRequest request)
    {
        DiskController controller = request.Controller switch
        {
            null or "scsi" => DiskController.Scsi,
            "nvme" => DiskController.Nvme,
            _ => throw new ControlException($"no such controller: {request.Controller} (scsi, nvme)"),
        };
        int place = vm.AddDisk(new DiskOptions(Need(request.File, "file"), controller, request.ReadOnly));
        return new JsonObject { [controller == DiskController.Scsi ? "lun" : "nvme"] = place };
    }

    private static JsonObject Failure(string message) => new() { ["ok"] = false, ["error"] = message.ReplaceLineEndings(" ") };

    private async Task<JsonObject> ExecuteAsync(ControlRequest request, CancellationToken cancellation)
    {
        switch (request.Command)
        {
            case "status":
                return Status();
            case "pause":
                return vm.Pause() ? [] : throw new ControlException("the VM is paused already, or has ended");
            case "resume":
                return vm.Resume() ? [] : throw new ControlException("the VM is not paused");
            case "disk add":
                return AddDisk(request);
            case "disk remove" when request.Nvme is { } nvme:
                return await vm.RemoveNvmeDiskAsync(nvme) ? [] : throw new ControlException($"there is no NVMe disk {nvme}");
            case "disk remove":
                int lun = request.Lun ?? throw new ControlException("disk remove needs a lun");
                return vm.RemoveDisk(lun) ? [] : throw new ControlException($"no SCSI disk has LUN {lun}");
            case "screenshot":
                return Screenshot(Need(request.File, "file"));
            case "nic add" or "nic remove" or "nic link":
                return ChangeNetwork(request);
            case "send-keys":
                return await SendKeysAsync(request, cancellation);
            default:
                return await AskGuestAsync(request, cancellation);
        }
    }

    private JsonObject ChangeNetwork(ControlRequest request)
    {
        if (request.Command == "nic add")
        {
            MacAddress address = request.Mac is null ? MacAddress.NewDynamic()
                : MacAddress.TryParse(request.Mac, out MacAddress given) ? given
                : throw new ControlException($"mac {request.Mac}: not the address of a card, such as 00:15:5d:01:02:03");
            return new JsonObject { ["nic"] = vm.AddNetworkCard(Need(request.Network, "network"), address), ["mac"] = address.ToString() };
        }

        int nic = request.Nic ?? throw new ControlException("nic is missing");
        bool done = request.Command == "nic remove" ? vm.RemoveNetworkCard(nic) : vm.SetLink(nic, request.Link switch
        {
            "up" => true,
            "down" => false,
            _ => throw new ControlException("link must be up or down"),
        });
        return done ? [] : throw new ControlException($"no synthetic network card has the number {nic}");
    }

    private async Task<JsonObject> AskGuestAsync(ControlRequest request, CancellationToken cancellation)
    {
        VmIntegration services = vm.Integration ?? throw new ControlException("the VM runs with --integration off: there is nobody to ask");
        if (vm.IsPaused)
        {
            throw new ControlException("the VM is paused: its guest cannot answer");
        }

        switch (request.Command)
        {
            case "shutdown":
                await services.Shutdown.ShutdownAsync(cancellation: cancellation);
                return [];
            case "reboot":
                await services.Shutdown.RebootAsync(cancellation: cancellation);
                return [];
            case "freeze":
                await services.Vss.FreezeAsync(cancellation);
                return [];
            case "thaw":
                await services.Vss.ThawAsync(cancellation);
                return [];
            case "copy":
                return await CopyAsync(services.FileCopy, request, cancellation);
            case "memory":
                return await BalloonAsync(services.Balloon, request, cancellation);
            case "kvp get" or "kvp set" or "kvp delete":
                return await ExchangeAsync(services.Kvp, request, cancellation);
            default:
                throw new ControlException($"no such command: {request.Command}");
        }
    }

    private JsonObject Screenshot(string file)
    {
        var image = new ScreenImage();
        if (!vm.Console.Screen.TryCapture(image))
        {
            throw new ControlException("the guest shows nothing");
        }

        using FileStream stream = File.Create(file);
        PngWriter.Write(stream, image);
        return new JsonObject { ["width"] = image.Width, ["height"] = image.Height };
    }

    private async Task<JsonObject> SendKeysAsync(ControlRequest request, CancellationToken cancellation)
    {
        IReadOnlyList<string> keys = request.Keys ?? throw new ControlException("keys is missing");
        IReadOnlyList<KeyStroke> strokes = KeySequence.Parse(keys, request.Literal);
        if (!vm.Console.Keyboard.IsActive)
        {
            throw new ControlException("the guest uses no keyboard");
        }

        await KeySequence.SendAsync(vm.Console.Keyboard, strokes, cancellation);
        return [];
    }

    private async Task<JsonObject> BalloonAsync(BalloonVsp balloon, ControlRequest request, CancellationToken cancellation)
    {
        ulong keep = request.Bytes ?? throw new ControlException("bytes is missing");
        if (keep > vm.MaximumMemoryBytes)
        {
            throw new ControlException(vm.MaximumMemoryBytes > vm.MemoryBytes
                ? $"the VM may have {vm.MaximumMemoryBytes >> 20} MiB at most"
                : $"the VM has {vm.MemoryBytes >> 20} MiB; there is no more to give it");
        }

        return new JsonObject { ["memory_bytes"] = await balloon.SetMemoryAsync(keep, cancellation) };
    }

    private static async Task<JsonObject> CopyAsync(FileCopyVsp fileCopy, ControlRequest request, CancellationToken cancellation)
    {
        await using FileStream source = File.OpenRead(Need(request.File, "file"));
        long bytes = await fileCopy.CopyAsync(
            source, Need(request.Destination, "destination"), request.Overwrite, createDirectories: true, cancellation);
        return new JsonObject { ["bytes"] = bytes };
    }

    private static async Task<JsonObject> ExchangeAsync(KvpVsp kvp, ControlRequest request, CancellationToken cancellation)
    {
        bool get = request.Command == "kvp get";
        // By default a get reads what the guest says of itself, a set tells it something.
        KvpPool pool = request.Pool is null ? (get ? KvpPool.Auto : KvpPool.External)
            : Enum.TryParse(request.Pool, ignoreCase: true, out KvpPool parsed) && Enum.IsDefined(parsed) ? parsed
            : throw new ControlException($"no such pool: {request.Pool} (external, guest, auto, autoexternal)");
        if (get && request.Key is null)
        {
            var pairs = new JsonObject();
            foreach (KvpItem item in await kvp.EnumerateAsync(pool, cancellation))
            {
                pairs[item.Key] = item.Value;
            }

            return new JsonObject { ["pairs"] = pairs };
        }

        string key = Need(request.Key, "key");
        if (get)
        {
            return new JsonObject
            {
                ["value"] = await kvp.GetAsync(pool, key, cancellation) ?? throw new ControlException($"the pool has no '{key}'"),
            };
        }

        if (request.Command == "kvp set")
        {
            await kvp.SetAsync(pool, key, Need(request.Value, "value"), cancellation);
            return [];
        }

        return await kvp.DeleteAsync(pool, key, cancellation) ? [] : throw new ControlException($"the pool has no '{key}'");
    }

    private JsonObject Status()
    {
        var disks = new JsonArray();
        foreach ((DiskOptions options, int? lun) in vm.Disks)
        {
            disks.Add((JsonNode)new JsonObject
            {
                ["file"] = options.Path,
                ["controller"] = options.Controller == DiskController.Scsi ? "scsi" : "ide",
                ["lun"] = lun,
                ["read_only"] = options.ReadOnly,
            });
        }

        foreach ((DiskOptions options, int index) in vm.NvmeDisks)
        {
            disks.Add((JsonNode)new JsonObject
            {
                ["file"] = options.Path,
                ["controller"] = "nvme",
                ["nvme"] = index,
                ["read_only"] = options.ReadOnly,
            });
        }

        var status = new JsonObject
        {
            ["state"] = vm.Completion.IsCompleted ? "ended" : vm.IsPaused ? "paused" : "running",
            ["uptime_seconds"] = Math.Round(vm.Uptime.TotalSeconds, 3),
            ["disks"] = disks,
            ["nics"] = Nics(),
        };
        if (vm.Integration is { } services)
        {
            status["heartbeat"] = Name(services.Heartbeat.Health);
            status["last_heartbeat"] = services.Heartbeat.LastSeen?.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);
            status["frozen"] = services.Vss.IsFrozen;
            status["services"] = Services(services);
            status["memory"] = Memory(services.Balloon);
        }

        return status;
    }

    private JsonArray Nics()
    {
        var nics = new JsonArray();
        foreach (NetworkCardState card in vm.Networks)
        {
            nics.Add((JsonNode)new JsonObject
            {
                ["nic"] = card.Id,
                ["kind"] = Name(card.Options.Kind),
                ["mac"] = card.Options.Address.ToString(),
                ["network"] = card.Options.Network,
                ["link"] = card.LinkUp ? "up" : "down",
            });
        }

        return nics;
    }

    private JsonObject Memory(BalloonVsp balloon)
    {
        MemoryReport? report = balloon.Report;
        return new JsonObject
        {
            ["state"] = Name(balloon.State),
            ["memory_bytes"] = vm.MemoryBytes - balloon.BalloonedBytes,
            ["maximum_bytes"] = vm.MaximumMemoryBytes,
            ["ballooned_bytes"] = balloon.BalloonedBytes,
            ["available_bytes"] = report?.AvailableBytes,
            ["committed_bytes"] = report?.CommittedBytes,
        };
    }

    private static JsonObject Services(VmIntegration integration)
    {
        var services = new JsonObject();
        foreach ((_, IntegrationService service) in integration.Services)
        {
            services[service.Offer.Name] = new JsonObject
            {
                ["state"] = Name(service.State),
                ["version"] = service.State == IntegrationState.Running ? service.Version.ToString() : null,
            };
        }

        return services;
    }

    private static string Name<T>(T value)
        where T : struct, Enum => JsonNamingPolicy.SnakeCaseLower.ConvertName(value.ToString());

    private static string Need(string? value, string name) => value ?? throw new ControlException($"{name} is missing");

    private sealed class ControlException(string message) : Exception(message);
}
