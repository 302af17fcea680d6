// Admin commands (NVMe 1.4, 5): queues, identify, features, log pages, asynchronous events.
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nvme;

public sealed partial class NvmeController
{
    // AERL + 1.
    private const int MaxEventRequests = 4;
    private const int FeatureCount = 12;

    private readonly Queue<NvmeRequest> _eventRequests = new();
    private readonly uint[] _features = new uint[FeatureCount];
    private uint? _pendingEvent;
    private bool _eventsMasked;

    private void ResetAdmin()
    {
        _eventRequests.Clear();
        _pendingEvent = null;
        _eventsMasked = false;
        Array.Clear(_features);
        _features[NvmeFeature.VolatileWriteCache] = 1;
        _features[NvmeFeature.TemperatureThreshold] = NvmeIdentify.WarningTemperature;
    }

    private void ExecuteAdmin(NvmeRequest request)
    {
        ref NvmeCommand command = ref request.Command;
        switch (command.Opcode)
        {
            case NvmeAdmin.CreateCompletionQueue:
                Complete(request, CreateCompletionQueue(command));
                break;
            case NvmeAdmin.CreateSubmissionQueue:
                Complete(request, CreateSubmissionQueue(command));
                break;
            case NvmeAdmin.DeleteCompletionQueue:
                Complete(request, DeleteCompletionQueue((int)(command.Dword10 & 0xFFFF)));
                break;
            case NvmeAdmin.DeleteSubmissionQueue:
                DeleteSubmissionQueue(request);
                break;
            case NvmeAdmin.Identify:
                Identify(request);
                break;
            case NvmeAdmin.GetLogPage:
                GetLogPage(request);
                break;
            case NvmeAdmin.SetFeatures:
                SetFeatures(request);
                break;
            case NvmeAdmin.GetFeatures:
                GetFeatures(request);
                break;
            case NvmeAdmin.Abort:
                // Bit 0: the command was not aborted. What is with the disk comes to its end.
                Complete(request, NvmeStatus.Success, 1);
                break;
            case NvmeAdmin.AsyncEventRequest:
                TakeEventRequest(request);
                break;
            default:
                Complete(request, NvmeStatus.InvalidOpcode);
                break;
        }
    }

    // 5.3. Queues are contiguous (CAP.CQR).
    private NvmeStatus CreateCompletionQueue(in NvmeCommand command)
    {
        int id = (int)(command.Dword10 & 0xFFFF);
        uint entries = (command.Dword10 >> 16) + 1;
        int vector = (int)(command.Dword11 >> 16);
        if (id is < 1 or > MaxQueues || _completions[id] is not null)
        {
            return NvmeStatus.InvalidQueueId;
        }

        if (entries is < 2 or > MaxQueueEntries)
        {
            return NvmeStatus.InvalidQueueSize;
        }

        if (vector >= _msix.Vectors)
        {
            return NvmeStatus.InvalidInterruptVector;
        }

        NvmeStatus status = CheckQueueMemory(command, entries * NvmeCompletionQueue.EntryBytes);
        if (status == NvmeStatus.Success)
        {
            Volatile.Write(ref _headDoorbells[id], 0);
            _completions[id] = new NvmeCompletionQueue(id, command.Prp1, entries, (command.Dword11 & 2) != 0, vector);
        }

        return status;
    }

    // 5.4.
    private NvmeStatus CreateSubmissionQueue(in NvmeCommand command)
    {
        int id = (int)(command.Dword10 & 0xFFFF);
        uint entries = (command.Dword10 >> 16) + 1;
        int completionId = (int)(command.Dword11 >> 16);
        if (id is < 1 or > MaxQueues || _submissions[id] is not null)
        {
            return NvmeStatus.InvalidQueueId;
        }

        if (entries is < 2 or > MaxQueueEntries)
        {
            return NvmeStatus.InvalidQueueSize;
        }

        if (completionId is < 1 or > MaxQueues || _completions[completionId] is not { } completions)
        {
            return NvmeStatus.InvalidCompletionQueue;
        }

        NvmeStatus status = CheckQueueMemory(command, entries * NvmeCommand.Bytes);
        if (status == NvmeStatus.Success)
        {
            Volatile.Write(ref _tailDoorbells[id], 0);
            completions.Users++;
            _submissions[id] = new NvmeSubmissionQueue(id, command.Prp1, entries, completions);
        }

        return status;
    }

    private static NvmeStatus CheckQueueMemory(in NvmeCommand command, uint bytes) =>
        (command.Dword11 & 1) == 0 ? NvmeStatus.InvalidField
        : (command.Prp1 & (GuestMemory.PageBytes - 1)) != 0 ? NvmeStatus.InvalidPrpOffset
        : command.Prp1 > ulong.MaxValue - bytes ? NvmeStatus.InvalidField
        : NvmeStatus.Success;

    private NvmeStatus DeleteCompletionQueue(int id)
    {
        if (id is < 1 or > MaxQueues || _completions[id] is not { } queue)
        {
            return NvmeStatus.InvalidQueueId;
        }

        if (queue.Users > 0)
        {
            return NvmeStatus.InvalidQueueDeletion;
        }

        _completions[id] = null;
        return NvmeStatus.Success;
    }

    // 5.6: completes when all the queue's commands have.
    private void DeleteSubmissionQueue(NvmeRequest request)
    {
        int id = (int)(request.Command.Dword10 & 0xFFFF);
        if (id is < 1 or > MaxQueues || _submissions[id] is not { Deletion: null } queue)
        {
            Complete(request, NvmeStatus.InvalidQueueId);
            return;
        }

        queue.Deletion = request;
        if (queue.InFlight == 0)
        {
            FinishDeletion(queue, request);
        }
    }

    private void FinishDeletion(NvmeSubmissionQueue queue, NvmeRequest deletion)
    {
        queue.Deletion = null;
        queue.Completions.Users--;
        _submissions[queue.Id] = null;
        Complete(deletion, NvmeStatus.Success);
    }

    private void Identify(NvmeRequest request)
    {
        Span<byte> data = stackalloc byte[NvmeIdentify.Bytes];
        data.Clear();
        uint space = request.Command.Namespace;
        NvmeStatus status = NvmeStatus.Success;
        switch (request.Command.Dword10 & 0xFF)
        {
            case 0 when space is NamespaceId or BroadcastNamespace:
                NvmeIdentify.Namespace(data, _disk);
                break;
            case 1:
                NvmeIdentify.Controller(data, _disk.Id);
                break;
            case 2 when space < BroadcastNamespace - 1:
                // Namespaces with ids above the given one.
                data[0] = space < NamespaceId ? (byte)NamespaceId : (byte)0;
                break;
            case 3 when space == NamespaceId:
                NvmeIdentify.Descriptors(data, _disk.Id);
                break;
            case 0 or 2 or 3:
                status = NvmeStatus.InvalidNamespace;
                break;
            default:
                status = NvmeStatus.InvalidField;
                break;
        }

        Complete(request, status == NvmeStatus.Success ? CopyOut(request, data) : status);
    }

    // 5.14. Offsets are allowed (LPA bit 2).
    private void GetLogPage(NvmeRequest request)
    {
        ref NvmeCommand command = ref request.Command;
        Span<byte> page = stackalloc byte[512];
        page.Clear();
        int id = (int)(command.Dword10 & 0xFF);
        switch (id)
        {
            case NvmeIdentify.ErrorLog:
                page = page[..64];
                break;
            case NvmeIdentify.HealthLog:
                NvmeIdentify.Health(page, _counters);
                break;
            case NvmeIdentify.FirmwareLog:
                NvmeIdentify.Firmware(page);
                break;
            default:
                Complete(request, NvmeStatus.InvalidLogPage);
                return;
        }

        ulong wanted = ((((ulong)command.Dword11 & 0xFFFF) << 16 | (command.Dword10 >> 16)) + 1) * 4;
        ulong offset = command.Dword12 | ((ulong)command.Dword13 << 32);
        if (offset > (ulong)page.Length || (offset & 3) != 0)
        {
            Complete(request, NvmeStatus.InvalidField);
            return;
        }

        if ((command.Dword10 & (1 << 15)) == 0)
        {
            // Reading a log without "retain" lets further events come.
            _eventsMasked = false;
        }

        page = page[(int)offset..];
        page = page[..(int)Math.Min((ulong)page.Length, wanted)];
        NvmeStatus status = page.IsEmpty ? NvmeStatus.Success : CopyOut(request, page);
        Complete(request, status);
        DeliverEvent();
    }

    private NvmeStatus CopyOut(NvmeRequest request, ReadOnlySpan<byte> data)
    {
        NvmeStatus status = NvmePrp.Map(_memory, request, data.Length);
        if (status == NvmeStatus.Success)
        {
            request.Data.CopyFrom(data);
            request.NotifyWrites(_memory);
        }

        return status;
    }

    // 5.21.
    private void SetFeatures(NvmeRequest request)
    {
        uint value = request.Command.Dword11;
        uint id = request.Command.Dword10 & 0xFF;
        if ((request.Command.Dword10 & 0x8000_0000) != 0)
        {
            Complete(request, NvmeStatus.FeatureNotSaveable);
            return;
        }

        if (id == 0 || id >= FeatureCount || id is NvmeFeature.LbaRangeType)
        {
            Complete(request, NvmeStatus.InvalidField);
            return;
        }

        if (id == NvmeFeature.QueueCount)
        {
            // Zero-based, submission queues low, completion queues high; all ones is not allowed.
            bool invalid = (value & 0xFFFF) == 0xFFFF || value >> 16 == 0xFFFF;
            Complete(request, invalid ? NvmeStatus.InvalidField : NvmeStatus.Success, NvmeFeature.Queues);
            return;
        }

        _features[id] = value;
        Complete(request, NvmeStatus.Success);
    }

    // 5.15. Select: current, default, saved (there is none, so the default), capabilities (changeable).
    private void GetFeatures(NvmeRequest request)
    {
        const uint Changeable = 1 << 2;
        uint id = request.Command.Dword10 & 0xFF;
        if (id == 0 || id >= FeatureCount || id is NvmeFeature.LbaRangeType)
        {
            Complete(request, NvmeStatus.InvalidField);
            return;
        }

        uint value = ((request.Command.Dword10 >> 8) & 7, id) switch
        {
            (3, _) => Changeable,
            (_, NvmeFeature.QueueCount) => NvmeFeature.Queues,
            (0, _) => _features[id],
            (_, NvmeFeature.VolatileWriteCache) => 1,
            (_, NvmeFeature.TemperatureThreshold) => NvmeIdentify.WarningTemperature,
            _ => 0,
        };
        Complete(request, NvmeStatus.Success, value);
    }

    // 5.2: kept until there is something to say.
    private void TakeEventRequest(NvmeRequest request)
    {
        if (_eventRequests.Count >= MaxEventRequests)
        {
            Complete(request, NvmeStatus.EventRequestLimit);
            return;
        }

        _eventRequests.Enqueue(request);
        DeliverEvent();
    }

    /// <summary>An asynchronous event: at most one waits, and none follows before the guest has read the error log.</summary>
    private void RaiseEvent(uint type, uint information)
    {
        _pendingEvent ??= type | (information << 8) | (NvmeIdentify.ErrorLog << 16);
        DeliverEvent();
    }

    private void DeliverEvent()
    {
        if (_pendingEvent is { } value && !_eventsMasked && _eventRequests.TryDequeue(out NvmeRequest? request))
        {
            _pendingEvent = null;
            _eventsMasked = true;
            Complete(request, NvmeStatus.Success, value);
        }
    }
}
