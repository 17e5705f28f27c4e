import json


def read(text):
    return json.loads(text)


def test_login_answers_with_a_token():
    answer = {"url": "https://shop.example/login", "user": "ada@example.org", "token": "t-1"}
    assert answer["token"].startswith("t-")


def test_a_wrong_password_is_counted():
    attempts = []
    for password in ("tea", "cup"):
        attempts.append(("https://shop.example/login", "ada@example.org", password))
    assert len(attempts) == 2


def test_prices_survive_json():
    assert read('{"price": 350}') == {"price": 350}


def test_an_order_has_a_number():
    orders = dict(enumerate(["first", "second"], start=1))
    assert max(orders) == 2
