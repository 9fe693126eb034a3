from markupsafe import escape

from torsyq import Flask
from torsyq import request

app = Flask(__name__)


@app.get("/")
def hello():
    name = request.args.get("name", "әлем")
    return f"<h1>Сәлем, {escape(name)}!</h1>"


@app.get("/ride/<int:days>")
def ride(days):
    return {"days": days, "kilometres": days * 60}


app.register_error_handler(404, lambda error: ("<p>No road leads here.</p>", 404))
