// One request on a VM's control socket: a JSON object on a line, for example {"command":"kvp set","key":"a","value":"b"}.
using System.Text.Json.Serialization;

namespace Sharpvisor.Worker.Control;

/// <summary>A request. Which members a command needs is documented at <see cref="VmController"/>.</summary>
public sealed record ControlRequest
{
    [JsonPropertyName("command")]
    public required string Command { get; init; }

    [JsonPropertyName("key")]
    public string? Key { get; init; }

    [JsonPropertyName("value")]
    public string? Value { get; init; }

    /// <summary>KVP pool: external, guest, auto or autoexternal.</summary>
    [JsonPropertyName("pool")]
    public string? Pool { get; init; }

    /// <summary>An absolute path on the host.</summary>
    [JsonPropertyName("file")]
    public string? File { get; init; }

    /// <summary>An absolute path in the guest.</summary>
    [JsonPropertyName("destination")]
    public string? Destination { get; init; }

    [JsonPropertyName("overwrite")]
    public bool Overwrite { get; init; }

    [JsonPropertyName("read_only")]
    public bool ReadOnly { get; init; }

    /// <summary>Words to type or keys to press.</summary>
    [JsonPropertyName("keys")]
    public IReadOnlyList<string>? Keys { get; init; }

    /// <summary>The keys are text, whatever names they may be.</summary>
    [JsonPropertyName("literal")]
    public bool Literal { get; init; }

    [JsonPropertyName("lun")]
    public int? Lun { get; init; }

    /// <summary>scsi (the default) or nvme.</summary>
    [JsonPropertyName("controller")]
    public string? Controller { get; init; }

    [JsonPropertyName("nvme")]
    public int? Nvme { get; init; }

    /// <summary>A network, named as for <c>--net</c>.</summary>
    [JsonPropertyName("network")]
    public string? Network { get; init; }

    /// <summary>The address of a new network card; without it, a random one.</summary>
    [JsonPropertyName("mac")]
    public string? Mac { get; init; }

    /// <summary>A network card's number.</summary>
    [JsonPropertyName("nic")]
    public int? Nic { get; init; }

    /// <summary>A cable: up or down.</summary>
    [JsonPropertyName("link")]
    public string? Link { get; init; }

    [JsonPropertyName("bytes")]
    public ulong? Bytes { get; init; }
}

/// <summary>Serialization without reflection.</summary>
[JsonSourceGenerationOptions(DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault)]
[JsonSerializable(typeof(ControlRequest))]
public sealed partial class ControlJson : JsonSerializerContext;
