with app.request_context(environ):
    assert request.method == 'POST'
