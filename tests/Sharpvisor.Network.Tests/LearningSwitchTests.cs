using Sharpvisor.Core;
using Xunit;

namespace Sharpvisor.Network.Tests;

public sealed class LearningSwitchTests : IDisposable
{
    private readonly LearningSwitch _switch = new();
    private readonly List<INetworkPort> _ports = [];
    private readonly List<TestCard> _cards = [];

    public LearningSwitchTests()
    {
        for (int i = 0; i < 3; i++)
        {
            _cards.Add(new TestCard());
            _ports.Add(_switch.CreatePort());
            _ports[i].Connect(_cards[i]);
        }
    }

    public void Dispose()
    {
        _ports.ForEach(p => p.Dispose());
        _cards.ForEach(c => c.Dispose());
    }

    [Fact]
    public void A_frame_for_an_unknown_address_goes_to_all_others()
    {
        _ports[0].Send(Frames.Between(1, 2, "a"), default);

        Assert.Equal("a", Frames.Text(_cards[1].Take()));
        Assert.Equal("a", Frames.Text(_cards[2].Take()));
        Assert.True(_cards[0].IsEmpty);
    }

    [Fact]
    public void A_frame_for_a_learned_address_goes_to_its_port_only()
    {
        _ports[1].Send(Frames.ToAll(2, "hello"), default);
        _ = _cards[0].Take();
        _ = _cards[2].Take();
        _ports[0].Send(Frames.Between(1, 2, "for two"), default);
        _ports[0].Send(Frames.ToAll(1, "for all"), default);

        Assert.Equal("for two", Frames.Text(_cards[1].Take()));
        Assert.Equal("for all", Frames.Text(_cards[2].Take()));
    }

    [Fact]
    public void An_address_that_moved_is_found_at_its_new_port()
    {
        _ports[1].Send(Frames.ToAll(2, "here"), default);
        _ports[2].Send(Frames.ToAll(2, "now here"), default);
        _ports[0].Send(Frames.Between(1, 2, "x"), default);

        Assert.Equal("x", Frames.Text(_cards[2].Take(f => Frames.Text(f) == "x")));
    }

    [Fact]
    public void An_address_behind_an_unplugged_port_is_unknown_again()
    {
        _ports[1].Send(Frames.ToAll(2, "here"), default);
        _ports[1].Dispose();
        _ports[0].Send(Frames.Between(1, 2, "x"), default);

        Assert.Equal("x", Frames.Text(_cards[2].Take(f => Frames.Text(f) == "x")));
    }

    [Fact]
    public void A_card_without_room_gets_its_frames_in_order_when_it_has_room_again_and_holds_up_nobody()
    {
        _cards[1].Refusing = true;
        for (int i = 0; i < 100; i++)
        {
            _ports[0].Send(Frames.ToAll(1, $"frame {i}"), default);
        }

        for (int i = 0; i < 100; i++)
        {
            Assert.Equal($"frame {i}", Frames.Text(_cards[2].Take()));
        }

        Assert.True(SpinWait.SpinUntil(() => _cards[1].Refused > 0, TimeSpan.FromSeconds(20)));
        _cards[1].Refusing = false;
        _ports[1].ReceiveReady();
        for (int i = 0; i < 100; i++)
        {
            Assert.Equal($"frame {i}", Frames.Text(_cards[1].Take()));
        }
    }

    [Fact]
    public void A_full_queue_drops_frames_and_goes_on()
    {
        _cards[1].Refusing = true;
        byte[] large = new byte[60_000];
        Frames.ToAll(1, "large").CopyTo(large, 0);
        for (int i = 0; i < 200; i++)
        {
            _ports[0].Send(large, default);
        }

        _cards[1].Refusing = false;
        _ports[1].ReceiveReady();
        _ = _cards[1].Take();
        Assert.True(SpinWait.SpinUntil(
            () =>
            {
                _ports[0].Send(Frames.ToAll(1, "last"), default);
                return Frames.Text(_cards[1].Take()) == "last";
            },
            TimeSpan.FromSeconds(20)));
    }

    [Fact]
    public void Malformed_frames_go_nowhere()
    {
        _ports[0].Send(new byte[3], default);
        _ports[0].Send([], default);
        _ports[0].Send(Frames.ToAll(1, "good"), default);

        Assert.Equal("good", Frames.Text(_cards[1].Take()));
    }
}
